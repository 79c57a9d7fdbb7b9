"""Messages: queues, the outbox before them, and the dead letters behind them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from quart import Response

from services.dashboard.pages.charts import DEFAULT_RANGE, RANGES, Chart, charts, recent
from services.dashboard.pages.formatting import link
from services.dashboard.pages.site import Query, Site, View, attempt, see_other
from services.dashboard.queues import DeadLetter
from services.defaults.errors import Unavailable

OUTBOX: Final = (
    Chart("outbox.depth", "Events waiting in the outbox", ("max",)),
    Chart("outbox.lag", "Age of the oldest of them", ("max",)),
    Chart("messages.dead_lettered", "Messages given up", ("increase",)),
)


@dataclass(frozen=True)
class Letter:
    """A dead letter as it is shown: its payload indented where it is JSON, and the trace that it belongs to."""

    letter: DeadLetter
    payload: str
    trace_id: str


async def page(site: Site, query: Query) -> View:
    queues = await attempt(site.queues.state()) if site.queues else None
    letters = await attempt(site.queues.dead_letters()) if site.queues and queues and queues.value else None
    context = {
        "there": site.queues is not None,
        "problem": (queues.problem if queues else "") or (letters.problem if letters else ""),
        "queues": queues.value or () if queues else (),
        "letters": _shown(letters.value or () if letters else ()),
        "outbox": await charts(site, OUTBOX, recent(site.now_ns(), RANGES[DEFAULT_RANGE])),
        "note": _note(query),
    }
    return View("messages", "Messages", context)


async def replay(site: Site, fields: Query) -> Response:
    """Puts one dead letter back to work, or all of them."""
    if site.queues is None:
        raise Unavailable("No broker is named to this dashboard (RABBITMQ_URL).")
    count = await site.queues.replay(fields.get("message_id") or None)
    return see_other(link("/messages", replayed=str(count)))


def _shown(letters: Sequence[DeadLetter]) -> list[Letter]:
    return [Letter(letter, _indented(letter.payload), _trace_id(letter.traceparent)) for letter in letters]


def _indented(payload: str) -> str:
    try:
        return json.dumps(json.loads(payload), indent=2, ensure_ascii=False)
    except (ValueError, RecursionError):
        return payload


def _trace_id(traceparent: str) -> str:
    """The trace's id in a W3C `traceparent`, `00-<trace>-<span>-<flags>`."""
    fields = traceparent.split("-")
    return fields[1] if len(fields) >= 4 else ""


def _note(query: Query) -> str:
    count = query.get("replayed", "")
    if not count.isascii() or not count.isdigit():
        return ""
    return f"{count} dead letter{'' if count == '1' else 's'} put back to work."
