"""What is asked for many times within one request, and fetched once."""

from __future__ import annotations

import asyncio
from typing import Final

from services.gateway.clients import Catalog, ConcertSearch, Node
from services.gateway.guard import MAX_FIRST

MAX_BATCH: Final = 100  # protos/catalog.proto, BatchGetConcertsRequest
MAX_FACET_PAGES: Final = 20  # of 100 concerts; a catalog beyond that gets facets of its own


class ConcertLoader:
    """Turns the lookups that GraphQL makes side by side (one for each order of a list) into one call."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._wanted: list[str] = []
        self._flight: asyncio.Task[dict[str, Node]] | None = None

    async def load(self, concert_id: str) -> Node | None:
        """The concert, or none if the catalog knows no such one. Raises what the catalog's client raises."""
        self._wanted.append(concert_id)
        if self._flight is None:
            self._flight = asyncio.create_task(self._fetch())
        return (await self._flight).get(concert_id)

    async def _fetch(self) -> dict[str, Node]:
        await asyncio.sleep(0)  # lets every resolver that is ready to run ask first
        ids = list(dict.fromkeys(self._wanted))
        self._wanted, self._flight = [], None
        found: dict[str, Node] = {}
        for start in range(0, len(ids), MAX_BATCH):
            found |= await self._catalog.get_concerts(ids[start : start + MAX_BATCH])
        return found


class FacetsLoader:
    """Reads all concerts for their cities and genres, once however often a query names the field."""

    def __init__(self, catalog: Catalog) -> None:
        self._catalog = catalog
        self._flight: asyncio.Task[Node] | None = None

    async def load(self) -> Node:
        """The `ConcertFacets`. Raises what the catalog's client raises."""
        if self._flight is None:
            self._flight = asyncio.create_task(self._fetch())
        return await self._flight

    async def _fetch(self) -> Node:
        cities: set[str] = set()
        genres: set[str] = set()
        after = ""
        for _ in range(MAX_FACET_PAGES):
            page = await self._catalog.list_concerts(ConcertSearch(first=MAX_FIRST, after=after))
            cities.update(node["venue"]["city"] for node in page["nodes"])
            genres.update(node["genre"] for node in page["nodes"])
            if not page["pageInfo"]["hasNextPage"]:
                break
            after = page["pageInfo"]["endCursor"]
        return {"cities": sorted(cities), "genres": sorted(genres)}
