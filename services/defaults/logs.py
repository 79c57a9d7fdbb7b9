"""Log lines: JSON for machines, coloured for a terminal; both with trace ids, neither with a secret."""

from __future__ import annotations

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any, Final

from opentelemetry import trace

REDACTED: Final = "[redacted]"

_SECRET_KEYS: Final = re.compile(r"password|secret|token|authorization|cookie|cvc|card|api_?key", re.IGNORECASE)
_SECRET_VALUES: Final = re.compile(
    r"eyJ[\w-]+\.[\w-]+\.[\w-]*"  # a JSON Web Token
    r"|\b\d(?:[ -]?\d){12,18}\b"  # a card number (ISO/IEC 7812: 13 to 19 digits)
    r"|(?<=://)[^\s/@]+(?=@)"  # user and password in a URL
)
_STANDARD: Final = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "color_message"}
_COLOURS: Final = {"DEBUG": "\x1b[2m", "INFO": "\x1b[36m", "WARNING": "\x1b[33m", "ERROR": "\x1b[31m"}
_RESET: Final = "\x1b[0m"


def configure_logging(service: str, *, level: str, style: str) -> None:
    """Sends every log line of the process to standard error, in one `style` (auto, json, pretty)."""
    pretty = style == "pretty" or (style == "auto" and sys.stderr.isatty())
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(PrettyFormatter(service) if pretty else JsonFormatter(service))
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    for noisy in ("hypercorn.access", "tortoise", "aiormq", "grpclib", "asyncio", "mail.log"):
        logging.getLogger(noisy).setLevel(logging.WARNING)


class JsonFormatter(logging.Formatter):
    """One JSON object a line; what was passed as `extra` becomes its fields."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "service": self._service,
            "logger": record.name,
            "message": scrub(record.getMessage()),
            **_trace_ids(),
            **_extras(record),
        }
        if record.exc_info:
            line["exception"] = scrub(self.formatException(record.exc_info))
        return json.dumps(line, default=str, ensure_ascii=False)


class PrettyFormatter(logging.Formatter):
    """One short line for people."""

    def __init__(self, service: str) -> None:
        super().__init__()
        self._service = service

    def format(self, record: logging.LogRecord) -> str:
        at = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S")
        colour = _COLOURS.get(record.levelname, "")
        extras = "".join(f" {key}={value}" for key, value in _extras(record).items())
        trace_id = _trace_ids().get("trace_id", "")
        suffix = f" trace={trace_id[:8]}" if trace_id else ""
        line = f"{at} {colour}{record.levelname.lower():7}{_RESET} {scrub(record.getMessage())}{extras}{suffix}"
        if record.exc_info:
            line += "\n" + scrub(self.formatException(record.exc_info))
        return line


def scrub(text: str) -> str:
    """The text without anything that looks like a token, a card number or a URL's credentials."""
    return _SECRET_VALUES.sub(REDACTED, text)


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    return {
        key: REDACTED if _SECRET_KEYS.search(key) else scrub(value) if isinstance(value, str) else value
        for key, value in vars(record).items()
        if key not in _STANDARD and not key.startswith("_")
    }


def _trace_ids() -> dict[str, str]:
    context = trace.get_current_span().get_span_context()
    if not context.is_valid:
        return {}
    return {
        "trace_id": trace.format_trace_id(context.trace_id),
        "span_id": trace.format_span_id(context.span_id),
    }
