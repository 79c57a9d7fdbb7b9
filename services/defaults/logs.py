"""Log lines: JSON for machines, coloured for a terminal, records for a collector; none of them with a secret.

Whatever is logged passes `Scrubber` first, which cleans a copy of the record and hands that to every outlet:
what one of them must not tell, none tells.
"""

from __future__ import annotations

import copy
import json
import logging
import re
import sys
import time
import traceback
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, Final

from opentelemetry import trace

REDACTED: Final = "[redacted]"
REPEAT_S: Final = 300.0  # how often at most the telemetry itself repeats one complaint

_SECRET_KEYS: Final = re.compile(r"password|secret|token|authorization|cookie|cvc|card|api_?key", re.IGNORECASE)
_SECRET_VALUES: Final = re.compile(
    r"(?P<id>\b[\da-f]{8}-(?:[\da-f]{4}-){3}[\da-f]{12}\b)"  # a UUID, no secret, lest its digits pass for a card
    r"|eyJ[\w-]+\.[\w-]+\.[\w-]*"  # a JSON Web Token
    r"|\b\d(?:[ -]?\d){12,18}\b"  # a card number (ISO/IEC 7812: 13 to 19 digits)
    r"|(?<=://)[^\s/@]+(?=@)"  # user and password in a URL
    r"|(?<=bearer )\S+",
    re.IGNORECASE,
)
_EMAIL: Final = re.compile(r"([\w.+%'-])[\w.+%'-]*@([\w-]+(?:\.[\w-]+)+)")
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message", "taskName"}
_COLOURS: Final = {"DEBUG": "\x1b[2m", "INFO": "\x1b[36m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m"}
_RESET: Final = "\x1b[0m"
_STACK: Final = "exception.stacktrace"  # as the semantic conventions for exceptions call it

Facts = Callable[[], Mapping[str, str]]
"""What is known of the work that goes on, as fields for its log lines."""


def configure_logging(
    service: str, *, level: str, style: str, also: Sequence[logging.Handler] = (), facts: Facts = dict
) -> None:
    """Sends every log line of the process to standard error, in one `style` (auto, json, pretty), and to `also`."""
    pretty = style == "pretty" or (style == "auto" and sys.stderr.isatty())
    terminal = logging.StreamHandler(sys.stderr)
    terminal.setFormatter(PrettyFormatter() if pretty else JsonFormatter(service))
    scrubber = Scrubber([terminal, *also], facts)
    scrubber.addFilter(Repetitions())
    logging.basicConfig(handlers=[scrubber], force=True)
    for noisy in ("hypercorn.access", "tortoise", "aiormq", "grpclib", "asyncio", "mail.log", "opentelemetry", "redis"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
    set_log_level(level)


def set_log_level(level: str) -> None:
    """Changes the least severe `level` that is logged, for a process whose logging is configured."""
    root = logging.getLogger()
    root.setLevel(level.upper())
    for outlet in root.handlers:
        if isinstance(outlet, Scrubber):  # the root's level is not asked of what other loggers hand on
            outlet.setLevel(level.upper())


class Scrubber(logging.Handler):
    """Hands a cleaned copy of each record to the `outlets`, with what is known of the work that goes on."""

    def __init__(self, outlets: Sequence[logging.Handler], facts: Facts = dict) -> None:
        super().__init__()
        self._outlets = outlets
        self._facts = facts

    def emit(self, record: logging.LogRecord) -> None:
        clean = scrubbed(record, self._facts())
        for outlet in self._outlets:
            outlet.handle(clean)


class Repetitions(logging.Filter):
    """Drops what OpenTelemetry says again within REPEAT_S: a collector that is away is news once, not each second."""

    def __init__(self) -> None:
        super().__init__()
        self._said_at: dict[tuple[str, Any], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        if not record.name.startswith("opentelemetry"):
            return True
        now, said = time.monotonic(), (record.name, record.msg)
        if now - self._said_at.get(said, float("-inf")) < REPEAT_S:
            return False
        self._said_at[said] = now
        return True


class JsonFormatter(logging.Formatter):
    """One JSON object a line; what was passed as `extra` becomes its fields. Wants scrubbed records."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        extras = extras_of(record)
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": record.getMessage(),
            **_trace_ids(),
            **{key: value for key, value in extras.items() if not key.startswith("exception.")},
        }
        if _STACK in extras:
            line["exception"] = extras[_STACK]
        return json.dumps(line, default=str, ensure_ascii=False)


class PrettyFormatter(logging.Formatter):
    """One short line for people. Wants scrubbed records."""

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        colour, extras = _COLOURS.get(record.levelname, ""), extras_of(record)
        shown = "".join(f" {key}={value}" for key, value in extras.items() if not key.startswith("exception."))
        trace_id = _trace_ids().get("trace_id", "")
        suffix = f" trace={trace_id[:8]}" if trace_id else ""
        line = f"{at} {colour}{record.levelname.lower():7}{_RESET} {record.getMessage()}{shown}{suffix}"
        return f"{line}\n{extras[_STACK]}" if _STACK in extras else line


def scrubbed(record: logging.LogRecord, facts: Mapping[str, str]) -> logging.LogRecord:
    """A copy of the record that tells no secret: message, extras and traceback. `facts` add to its extras.

    Its exception becomes fields, so that no outlet can render one by itself.
    """
    clean = copy.copy(record)
    clean.msg, clean.args = scrub(record.getMessage()), None
    clean.__dict__.update({key: _clean(key, value) for key, value in {**facts, **extras_of(record)}.items()})
    if record.exc_info and record.exc_info[0]:
        clean.__dict__["exception.type"] = record.exc_info[0].__name__
        clean.__dict__["exception.message"] = scrub(str(record.exc_info[1]))
        clean.__dict__[_STACK] = scrub("".join(traceback.format_exception(*record.exc_info)).rstrip())
    clean.exc_info = clean.exc_text = None
    return clean


def scrub(text: str) -> str:
    """The text without what looks like a token, a card number or a URL's credentials, e-mail addresses masked."""
    return _EMAIL.sub(r"\1…@\2", _SECRET_VALUES.sub(_redacted, text))


def _redacted(found: re.Match[str]) -> str:
    return found["id"] or REDACTED


def extras_of(record: logging.LogRecord) -> dict[str, Any]:
    """What was passed as `extra`, or added since."""
    return {key: value for key, value in vars(record).items() if key not in _STANDARD and not key.startswith("_")}


def _clean(key: str, value: Any) -> Any:
    if _SECRET_KEYS.search(key):
        return REDACTED
    return value if isinstance(value, bool | int | float) else scrub(str(value))


def _trace_ids() -> dict[str, str]:
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }
