"""Where whoever comes from afar shows the token (`token.py`)."""

from __future__ import annotations

from quart import Response

from services.dashboard.pages.site import Query, Site, View, see_other
from services.defaults.addresses import safe_next


async def form(site: Site, query: Query) -> View:
    return _form(safe_next(query.get("next", "/")))


async def enter(site: Site, fields: Query) -> View | Response:
    """Lets a browser in that knows the token, and leads it to where it wanted to go."""
    target = safe_next(fields.get("next", "/"))
    if not site.access.admits(fields.get("token", "")):
        return _form(target, wrong=True)
    response = see_other(target)
    site.access.set_cookie(response)
    return response


def _form(target: str, *, wrong: bool = False) -> View:
    return View("token", "Show the token", {"target": target, "wrong": wrong}, 401 if wrong else 200)
