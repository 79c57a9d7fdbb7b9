"""The shop as the pages see it: typed calls, carried out by GraphQL in this process."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from services.defaults.auth import Principal
from services.defaults.errors import (
    AppError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
)
from services.gateway.web import operations
from services.gateway.web.views import Concert, ConcertPage, Facets, Order, OrderPage, Session

Variables = Mapping[str, Any]


@dataclass(frozen=True)
class Caller:
    """On whose behalf a call is made: verified principal and token, or neither, and the browser's address."""

    principal: Principal | None = None
    token: str | None = None
    address: str = ""


Execute = Callable[[str, Variables, Caller], Awaitable[Mapping[str, Any]]]
"""Runs one GraphQL document; answers `{"data": …, "errors": […]}`."""


@dataclass(frozen=True)
class Card:
    """What a payment form holds. Its representation shows nothing of it."""

    number: str
    expiry: str
    cvc: str

    def __repr__(self) -> str:
        return "Card(…)"


class Shop:
    """Every call raises an `AppError` where it does not succeed."""

    def __init__(self, execute: Execute) -> None:
        self._execute = execute

    async def concerts(
        self, caller: Caller, *, filter_by: Variables, sort: str, first: int, after: str = ""
    ) -> ConcertPage:
        variables = {"filter": filter_by, "sort": sort, "first": first, "after": after or None}
        return ConcertPage.model_validate(await self._ask(operations.CONCERTS, variables, caller))

    async def facets(self, caller: Caller) -> Facets:
        return Facets.model_validate(await self._ask(operations.FACETS, {}, caller))

    async def concert(self, caller: Caller, *, slug: str | None = None, concert_id: str | None = None) -> Concert:
        """By one of the two. Raises `NotFound` where there is no such concert."""
        found = await self._ask(operations.CONCERT, {"slug": slug, "id": concert_id}, caller)
        if found is None:
            raise NotFound("There is no such concert.")
        return Concert.model_validate(found)

    async def order(self, caller: Caller, order_id: str) -> Order:
        """Raises `NotFound` for an order that does not exist, or is somebody else's."""
        found = await self._ask(operations.ORDER, {"id": order_id}, caller)
        if found is None:
            raise NotFound("There is no such order.")
        return Order.model_validate(found)

    async def my_orders(self, caller: Caller, *, first: int, after: str = "") -> OrderPage:
        found = await self._ask(operations.MY_ORDERS, {"first": first, "after": after or None}, caller)
        return OrderPage.model_validate(found)

    async def place_order(
        self, caller: Caller, concert_id: str, lines: Mapping[str, int], idempotency_key: str
    ) -> Order:
        """Holds tickets: `lines` maps a tier's id to a quantity."""
        placed = {
            "concertId": concert_id,
            "lines": [{"tierId": tier, "quantity": quantity} for tier, quantity in lines.items()],
            "idempotencyKey": idempotency_key,
        }
        return Order.model_validate(await self._ask(operations.PLACE_ORDER, {"input": placed}, caller))

    async def pay_order(self, caller: Caller, order_id: str, card: Card, idempotency_key: str) -> Order:
        """Answers the order as it then stands: confirmed, or still pending while the payment is checked."""
        payment = {
            "orderId": order_id,
            "card": {"number": card.number, "expiry": card.expiry, "cvc": card.cvc},
            "idempotencyKey": idempotency_key,
        }
        return Order.model_validate(await self._ask(operations.PAY_ORDER, {"input": payment}, caller))

    async def cancel_order(self, caller: Caller, order_id: str) -> Order:
        return Order.model_validate(await self._ask(operations.CANCEL_ORDER, {"id": order_id}, caller))

    async def register(self, caller: Caller, *, email: str, password: str, name: str) -> Session:
        entered = {"email": email, "password": password, "name": name}
        return Session.model_validate(await self._ask(operations.REGISTER, {"input": entered}, caller))

    async def login(self, caller: Caller, *, email: str, password: str) -> Session:
        entered = {"email": email, "password": password}
        return Session.model_validate(await self._ask(operations.LOGIN, {"input": entered}, caller))

    async def refresh(self, refresh_token: str, address: str) -> Session:
        caller = Caller(address=address)
        return Session.model_validate(await self._ask(operations.REFRESH, {"token": refresh_token}, caller))

    async def logout(self, caller: Caller, refresh_token: str) -> None:
        await self._ask(operations.LOGOUT, {"token": refresh_token}, caller)

    async def _ask(self, document: str, variables: Variables, caller: Caller) -> Any:
        """The value of the document's one root field. An error below it that left a gap does not matter."""
        answer = await self._execute(document, variables, caller)
        data, errors = answer.get("data"), answer.get("errors")
        value = next(iter(data.values()), None) if data else None
        if value is None and errors:
            raise error_from(errors)
        return value


_BY_CODE: Mapping[str, tuple[type[AppError], int | None]] = {
    "UNAUTHENTICATED": (Unauthorized, None),
    "FORBIDDEN": (Forbidden, None),
    "NOT_FOUND": (NotFound, None),
    "INVALID": (Invalid, None),
    "QUERY_TOO_COMPLEX": (Invalid, None),
    "CONFLICT": (Conflict, None),
    "SOLD_OUT": (Conflict, None),
    "PAYMENT_DECLINED": (Conflict, 402),
    "RATE_LIMITED": (RateLimited, None),
    "UNAVAILABLE": (Unavailable, None),
}


def error_from(errors: Sequence[Mapping[str, Any]]) -> AppError:
    """The first GraphQL error, back in the tree; field names lose their path (`input.email` is `email`)."""
    extensions = errors[0].get("extensions") or {}
    code = str(extensions.get("code", "INTERNAL"))
    kind, status = _BY_CODE.get(code, (AppError, None))
    fields = extensions.get("fields") or {}
    return kind(
        str(errors[0].get("message", "")),
        code=code,
        status=status,
        fields={str(name).rpartition(".")[2]: str(text) for name, text in fields.items()},
        retry_after_s=extensions.get("retryAfter"),
    )
