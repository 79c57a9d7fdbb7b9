"""Where whoever comes from afar shows the token (`token.py`)."""

from __future__ import annotations

from quart import Response

from services.dashboard.pages.site import Query, Site, View, see_other


async def form(site: Site, query: Query) -> View:
    return _form(_own_path(query.get("next", "/")))


async def enter(site: Site, fields: Query) -> View | Response:
    """Lets a browser in that knows the token, and leads it to where it wanted to go."""
    target = _own_path(fields.get("next", "/"))
    if not site.access.admits(fields.get("token", "")):
        return _form(target, wrong=True)
    response = see_other(target)
    site.access.set_cookie(response)
    return response


def _form(target: str, *, wrong: bool = False) -> View:
    return View("token", "Show the token", {"target": target, "wrong": wrong}, 401 if wrong else 200)


def _own_path(path: str) -> str:
    """The path if it is one of ours; browsers read `//host` and `/\\host` as another's."""
    return path if path.startswith("/") and not path.startswith(("//", "/\\")) else "/"
