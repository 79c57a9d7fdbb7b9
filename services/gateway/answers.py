"""A short memory of public answers, so that a crowd asking the same thing costs one execution a second.

Only what depends on nothing but the request's text belongs here; `engine.answer` decides that.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

from services.gateway.memory import Memory


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


class AnswerCache(Memory[Answer]):
    """Keeps good answers; one with errors reaches only those who wait for it."""

    def __init__(self, *, ttl_s: float = 1.0, size: int = 128, clock: Callable[[], float] = time.monotonic) -> None:
        super().__init__(ttl_s=ttl_s, size=size, clock=clock, keeps=attrgetter("ok"))
