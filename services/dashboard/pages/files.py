"""Styles, scripts, pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from quart import Response

from services.dashboard.pages.site import Query, Site
from services.defaults.assets import Assets, file_response
from services.defaults.errors import NotFound

STATIC: Final = Path(__file__).parents[1] / "static"


def read_assets() -> Assets:
    """The dashboard's own files, and those of the libraries that its pages use."""
    return Assets("/static", STATIC, STATIC / "vendor" / "idiomorph", STATIC / "vendor" / "uplot")


async def asset(site: Site, _query: Query, etag: str, name: str) -> Response:
    found = site.assets.find(name)
    if found is None:
        raise NotFound("There is no such file.")
    return file_response(found, forever=etag == found.etag)


async def favicon(site: Site, query: Query) -> Response:
    return await asset(site, query, "", "favicon.svg")
