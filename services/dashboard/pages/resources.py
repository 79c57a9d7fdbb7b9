"""Resources: every process and server, how it is, and the buttons."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Final

from quart import Response

from services.dashboard.pages.formatting import NS_PER_S, link, segment
from services.dashboard.pages.site import Query, Site, View, attempt, see_other
from services.dashboard.parts import KINDS, VERBS, Part
from services.defaults.errors import AppError, NotFound, Unavailable

LOG_LINES: Final = 200
_TITLES: Final = {"service": "Services", "server": "Servers", "step": "Steps that run once"}
_NOT_REPEATED: Final = {"time", "level", "message", "service", "logger", "trace_id", "span_id", "exception"}
_DONE: Final = {
    "start": "is starting",
    "stop": "has been stopped",
    "restart": "is restarting",
    "freeze": "is frozen: connected, and silent",
    "thaw": "goes on",
}


async def everything(site: Site, query: Query) -> View:
    """The home page."""
    parts, problem = await _parts(site)
    context = {
        "groups": [(_TITLES[kind], [part for part in parts if part.kind == kind]) for kind in KINDS],
        "count": len(parts),
        "worried": [part for part in parts if part.mark in {"warn", "fail"}],
        "problem": problem,
        "controlled": site.control is not None,
        "note": _note(query),
        "now_s": site.now_ns() / NS_PER_S,
        "last": {part.name: printed(part.last_lines[-1]) for part in parts if part.last_lines},
    }
    return View("resources", "Resources", context)


async def one(site: Site, query: Query, name: str) -> View:
    """One part in full."""
    parts, problem = await _parts(site)
    part = next((each for each in parts if each.name == name), None)
    if part is None:
        raise Unavailable(problem) if problem else NotFound(f"There is no part named {name}.")
    lines = await attempt(site.control.log(name, LOG_LINES)) if site.control else None
    context = {
        "part": part,
        "lines": [printed(line) for line in (lines and lines.value) or part.last_lines],
        "problem": problem or (lines.problem if lines else ""),
        "controlled": site.control is not None,
        "note": _note(query),
        "now_s": site.now_ns() / NS_PER_S,
    }
    return View("resource", name, context)


async def act(site: Site, fields: Query, name: str, verb: str) -> Response:
    """A button."""
    if site.control is None or verb not in VERBS:
        raise NotFound("There is no such button here.")
    await site.control.act(name, verb)
    back = f"/resources/{segment(name)}" if fields.get("from") == "one" else "/"
    return see_other(link(back, did=verb, part=name))


def printed(line: str) -> str:
    """A printed line for people: of a log line in JSON (`services/defaults/logs.py`) the message, then its fields."""
    try:
        found = json.loads(line)
    except ValueError:
        return line
    if not isinstance(found, dict) or "message" not in found:
        return line
    fields = " ".join(f"{key}={value}" for key, value in found.items() if key not in _NOT_REPEATED)
    words = (str(found.get("time", ""))[11:23], found.get("level", ""), found["message"], fields)
    text = " ".join(str(word) for word in words if word)
    return f"{text}\n{found['exception']}" if "exception" in found else text


async def _parts(site: Site) -> tuple[Sequence[Part], str]:
    """The app host's word; Consul's where there is no app host, or it does not answer."""
    problem = ""
    if site.control is not None:
        try:
            return await site.control.parts(), ""
        except AppError as error:
            problem = error.message
    if site.registry is None:
        return (), problem
    found = await attempt(site.registry.parts())
    return found.value or (), " ".join(filter(None, (problem, found.problem)))


def _note(query: Query) -> str:
    """What a button has done, after the way back from it."""
    done = _DONE.get(query.get("did", ""))
    return f"{query.get('part', '')} {done}." if done else ""
