"""Styles, scripts, pictures."""

from __future__ import annotations

from typing import Final

from quart import Response

from services.dashboard.pages.site import Query, Site
from services.defaults.errors import NotFound

YEAR_S: Final = 365 * 24 * 3600


async def asset(site: Site, _query: Query, etag: str, name: str) -> Response:
    """A file; kept for good where the address holds its digest."""
    found = site.assets.find(name)
    if found is None:
        raise NotFound("There is no such file.")
    response = Response(found.content, content_type=f"{found.mimetype}; charset=utf-8")
    current = etag == found.etag
    response.headers["Cache-Control"] = f"public, max-age={YEAR_S}, immutable" if current else "no-store"
    return response


async def favicon(site: Site, query: Query) -> Response:
    return await asset(site, query, "", "favicon.svg")
