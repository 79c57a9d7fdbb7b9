"""What the clients need of the layer below them (services/defaults/resilience.py)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol


class HttpAnswer(Protocol):
    @property
    def body(self) -> Any: ...


class HttpCalls(Protocol):
    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        token: str | None = None,
        idempotency_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        may_be_slow: bool = False,
    ) -> HttpAnswer: ...


class GrpcCalls(Protocol):
    async def call(self, method: str, request: Any) -> Any: ...
