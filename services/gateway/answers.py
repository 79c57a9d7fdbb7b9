"""A short memory of public answers, so that a crowd asking the same thing costs one execution a second.

Only what depends on nothing but the request's text belongs here; `engine.answer` decides that.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from functools import cached_property
from typing import Any


@dataclass(frozen=True)
class Answer:
    """The outcome of one GraphQL request. It may be shared between requests: never change it."""

    result: dict[str, Any]

    @cached_property
    def encoded(self) -> bytes:
        """The JSON body."""
        return json.dumps(self.result, ensure_ascii=False, separators=(",", ":")).encode()

    @property
    def ok(self) -> bool:
        return not self.result.get("errors")


class AnswerCache:
    """Keeps good answers for `ttl_s` seconds, the `max_entries` used last. One maker runs for a key at a time."""

    def __init__(
        self, *, ttl_s: float = 1.0, max_entries: int = 128, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._ttl_s = ttl_s
        self._max_entries = max_entries
        self._clock = clock
        self._kept: OrderedDict[Hashable, tuple[float, Answer]] = OrderedDict()
        self._flights: dict[Hashable, asyncio.Task[Answer]] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        """The answer kept for `key`, or what `make` gives. One with errors reaches only those who wait."""
        kept = self._kept.get(key)
        if kept and kept[0] > self._clock():
            self._kept.move_to_end(key)
            return kept[1]
        flight = self._flights.get(key)
        if flight is None:
            flight = asyncio.create_task(self._fly(key, make))
            self._flights[key] = flight
        # Shielded: the first visitor closing the browser must not cancel what the others wait for.
        return await asyncio.shield(flight)

    async def _fly(self, key: Hashable, make: Callable[[], Awaitable[Answer]]) -> Answer:
        try:
            answer = await make()
            if answer.ok:
                self._keep(key, answer)
            return answer
        finally:
            del self._flights[key]

    def _keep(self, key: Hashable, answer: Answer) -> None:
        self._kept[key] = (self._clock() + self._ttl_s, answer)
        self._kept.move_to_end(key)
        while len(self._kept) > self._max_entries:
            self._kept.popitem(last=False)
