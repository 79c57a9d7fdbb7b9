"""Logs: the live tail, and older lines; by service, level, text, trace, order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.dashboard.domain.kinds import Severity
from services.dashboard.pages.formatting import link
from services.dashboard.pages.site import Query, Site, View
from services.dashboard.pages.waterfall import pairs
from services.dashboard.store.rows import LogLine, LogQuery

LEVELS: Final = (
    ("everything", 0),
    ("info and worse", Severity.INFO),
    ("warnings and worse", Severity.WARN),
    ("errors", Severity.ERROR),
)
SHOWN: Final = 200
SHORT_CHARS: Final = 160
_WORDS: Final = (
    (Severity.ERROR, "error", "fail"),
    (Severity.WARN, "warning", "warn"),
    (Severity.INFO, "info", "idle"),
    (Severity.TRACE, "debug", "idle"),
)
_SHOWN_APART: Final = {"order_id", "order_number", "code.file.path", "code.function.name", "code.line.number"}


@dataclass(frozen=True)
class Shown:
    """A line as it is shown: its level in a word and a mark, its short fields, and what is long folded up."""

    line: LogLine
    word: str
    mark: str
    fields: Sequence[tuple[str, str]]
    long: tuple[str, str] | None


async def tail(site: Site, query: Query) -> View:
    """The newest lines that fit, newest first; `before` leads to older ones."""
    asked = _asked(query)
    found = await site.store.find_logs(asked)
    kept = {key: value for key, value in query.items() if key != "before"}
    context = {
        "lines": [_shown(line) for line in found.lines],
        "asked": asked,
        "services": await site.store.services(),
        "levels": LEVELS,
        "older": link("/logs", **kept, before=found.next) if found.next else "",
        "newest": link("/logs", **kept) if asked.before else "",
        "filtered": bool(kept),
    }
    return View("logs", "Logs", context)


def _asked(query: Query) -> LogQuery:
    level = next((least for _, least in LEVELS if str(int(least)) == query.get("level")), 0)
    return LogQuery(
        service=query.get("service", ""),
        instance=query.get("instance", ""),
        severity=level,
        text=query.get("text", ""),
        trace_id=query.get("trace", "").lower(),
        span_id=query.get("span", "").lower(),
        order=query.get("order", ""),
        before=query.get("before", ""),
        limit=SHOWN,
    )


def _shown(line: LogLine) -> Shown:
    word, mark = _level(line.severity)
    fields = [(key, value) for key, value in pairs(line.attributes) if key not in _SHOWN_APART]
    short = [(key, value) for key, value in fields if len(value) <= SHORT_CHARS and "\n" not in value]
    long = [(key, value) for key, value in fields if (key, value) not in short]
    folded = (", ".join(key for key, _ in long), "\n\n".join(value for _, value in long)) if long else None
    return Shown(line, word, mark, short, folded)


def _level(severity: int) -> tuple[str, str]:
    return next(((word, mark) for least, word, mark in _WORDS if severity >= least), ("log", "idle"))
