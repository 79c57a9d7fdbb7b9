"""Ordering over HTTP."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any, Final
from uuid import UUID

from services.defaults.errors import Invalid, NotFound
from services.defaults.telemetry import annotate
from services.gateway.clients import Node
from services.gateway.clients.transport import HttpCalls

MAX_KEY_CHARS: Final = 200


class HttpOrdering:
    """`clients.Ordering` over the wire. Placing and paying may be repeated: they carry a key for it."""

    def __init__(self, calls: HttpCalls) -> None:
        self._calls = calls

    async def ping(self) -> None:
        """Raises where ordering does not answer."""
        await self._calls.request("GET", "/alive")

    async def place_order(self, token: str, *, concert_id: str, lines: Sequence[Node], idempotency_key: str) -> Node:
        body = {"concertId": concert_id, "lines": lines}
        key = _header_value(idempotency_key)
        with _as_the_schema_calls_it():
            answer = await self._calls.request("POST", "/orders", json=body, token=token, idempotency_key=key)
        return _told(to_order(answer.body))

    async def pay_order(self, token: str, order_id: str, *, card: Node, idempotency_key: str) -> Node:
        path, key = f"{_path(order_id)}/payment", _header_value(idempotency_key)
        with _as_the_schema_calls_it():
            # How long it takes depends on the card: a few slow ones must not cut off every other order.
            answer = await self._calls.request(
                "POST", path, json={"card": card}, token=token, idempotency_key=key, may_be_slow=True
            )
        return _told(to_order(answer.body))

    async def cancel_order(self, token: str, order_id: str) -> Node:
        answer = await self._calls.request("POST", f"{_path(order_id)}/cancel", token=token)
        return _told(to_order(answer.body))

    async def get_order(self, token: str, order_id: str) -> Node | None:
        try:
            return _told(to_order((await self._calls.request("GET", _path(order_id), token=token)).body))
        except NotFound:
            return None

    async def list_orders(self, token: str, *, first: int, after: str) -> Node:
        params = {"first": str(first)} | ({"after": after} if after else {})
        body = (await self._calls.request("GET", "/orders", params=params, token=token)).body
        return {
            "nodes": [to_order(order) for order in body["nodes"]],
            "pageInfo": {
                "hasNextPage": body["pageInfo"]["hasNextPage"],
                "endCursor": body["pageInfo"]["endCursor"],
            },
        }


def to_order(body: Any) -> Node:
    """An `Order`; `concert` is as the order kept it, and `concertId` is beside it for the catalog's own."""
    return {
        "id": body["id"],
        "number": body["number"],
        "status": body["status"],
        "cancelReason": body.get("cancelReason"),
        "concertId": body["concertId"],
        "concert": to_kept_concert(body["concert"]),
        "lines": body["lines"],
        "tickets": body["tickets"],
        "total": body["total"],
        "createdAt": to_moment(body["createdAt"]),
        "expiresAt": to_moment(body.get("expiresAt")),
        "timeline": [{"event": entry["event"], "at": to_moment(entry["at"])} for entry in body["timeline"]],
    }


def _told(order: Node) -> Node:
    """The order, named by spans and log lines from here on."""
    annotate(order_id=order["id"], order_number=order["number"], concert_id=order["concertId"])
    return order


def to_kept_concert(body: Any) -> Node:
    """As much of a `Concert` as the order kept of it, which is what a ticket needs."""
    return {
        "id": body["id"],
        "slug": body["slug"],
        "title": body["title"],
        "artist": body["artist"],
        "startsAt": to_moment(body["startsAt"]),
        "doorsAt": to_moment(body.get("doorsAt")),
        "timeZone": body["timeZone"],
        "venue": {
            "name": body["venue"],
            "city": body["city"],
            "country": body["country"],
            "address": body.get("address") or None,
        },
    }


def to_moment(text: str | None) -> datetime | None:
    """From RFC 3339."""
    return datetime.fromisoformat(text).astimezone(UTC) if text else None


def _path(order_id: str) -> str:
    """Raises `NotFound` for what cannot be an order's id: a path is made of nothing else."""
    try:
        known = UUID(order_id)
    except ValueError:
        raise NotFound("There is no such order.") from None
    annotate(order_id=known)
    return f"/orders/{known}"


@contextmanager
def _as_the_schema_calls_it() -> Iterator[None]:
    """What ordering says of its header is, to GraphQL clients, about an input field."""
    try:
        yield
    except Invalid as error:
        if sentence := error.fields.pop("Idempotency-Key", None):
            error.fields["idempotencyKey"] = sentence
        raise


def _header_value(key: str) -> str:
    """The idempotency key as a header can carry it: in another form where it is no plain ASCII. Raises `Invalid`."""
    if not 1 <= len(key) <= MAX_KEY_CHARS:
        sentence = f"Use 1 to {MAX_KEY_CHARS} characters."
        raise Invalid("The idempotency key cannot be used.", fields={"idempotencyKey": sentence})
    if re.fullmatch(r"[!-~]+", key):
        return key
    return "sha256-" + hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()
