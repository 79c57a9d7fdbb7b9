"""The three services the gateway composes, as it sees them.

Every answer is already in the shape of the GraphQL types (`services/gateway/schema.graphql`): dictionaries
keyed by field name, moments as `datetime` in UTC. Every failure is an `AppError`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Protocol

Node = Mapping[str, Any]
"""One object of the GraphQL schema."""


@dataclass(frozen=True, kw_only=True)
class ConcertSearch:
    """What to list, and which page of it. `first` counts concerts, 1 to 100."""

    text: str = ""
    city: str = ""
    genre: str = ""
    from_date: date | None = None
    to_date: date | None = None
    available_only: bool = False
    sort: str = "DATE"
    first: int = 20
    after: str = ""


class Catalog(Protocol):
    async def list_concerts(self, search: ConcertSearch) -> Node:
        """A `ConcertConnection`."""

    async def get_concert(self, *, concert_id: str = "", slug: str = "") -> Node | None:
        """A `Concert`, or none if there is no such one."""

    async def get_concerts(self, ids: Sequence[str]) -> dict[str, Node]:
        """`Concert`s by id; unknown ids are left out."""


class Identity(Protocol):
    """Every call names the browser's or client's address, by which identity limits the rate too."""

    async def register(self, *, email: str, password: str, name: str, client_address: str) -> Node:
        """A `Session`. Raises `Conflict` where the e-mail address is taken."""

    async def login(self, *, email: str, password: str, client_address: str) -> Node:
        """A `Session`. Raises `Unauthorized`."""

    async def refresh(self, refresh_token: str, *, client_address: str) -> Node:
        """A `Session`. Raises `Unauthorized`."""

    async def logout(self, refresh_token: str, *, client_address: str) -> None:
        """Ends the session; one that is unknown or over already is no error."""

    async def me(self, token: str) -> Node:
        """A `User`."""


class Ordering(Protocol):
    """Every call speaks for the person whose access token it carries."""

    async def place_order(self, token: str, *, concert_id: str, lines: Sequence[Node], idempotency_key: str) -> Node:
        """An `Order`."""

    async def pay_order(self, token: str, order_id: str, *, card: Node, idempotency_key: str) -> Node:
        """An `Order`."""

    async def cancel_order(self, token: str, order_id: str) -> Node:
        """An `Order`."""

    async def get_order(self, token: str, order_id: str) -> Node | None:
        """An `Order`, or none if the caller has no such one."""

    async def list_orders(self, token: str, *, first: int, after: str) -> Node:
        """An `OrderConnection`, newest first."""


@dataclass(frozen=True)
class Clients:
    catalog: Catalog
    identity: Identity
    ordering: Ordering
