"""Ordering's REST edge: parse, call, render."""

from __future__ import annotations

import base64
import binascii
import re
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import wraps
from typing import Any, Final, ParamSpec, TypeVar, cast
from uuid import UUID

from pydantic import ValidationError
from quart import Blueprint, Quart, Response, current_app, g, jsonify, request
from quart_rate_limiter import rate_limit
from quart_schema import (
    document_headers,
    document_response,
    security_scheme,
    tag,
    validate_querystring,
    validate_request,
)

from services.defaults.auth import ORDERS_SCOPE, TokenVerifier, bearer_token
from services.defaults.errors import Invalid, NotFound, Unauthorized
from services.defaults.health import Health
from services.defaults.http import (
    authenticated,
    client_address,
    create_http_app,
    documented_problems,
    principal,
    run_to_completion,
)
from services.defaults.sentences import invalid_fields
from services.ordering.cards import Card, read_card
from services.ordering.document import order_document
from services.ordering.domain import Buyer, Order, Wanted
from services.ordering.service.cancel import cancel_order
from services.ordering.service.deps import Deps, tell_of
from services.ordering.service.notice import take_notice
from services.ordering.service.pay import pay_order
from services.ordering.service.place import Placement, place_order
from services.ordering.signature import HEADER, check_signature
from services.ordering.store import orders
from services.ordering.wire import (
    KEY_PATTERN,
    CardBody,
    KeyHeaders,
    OrderBody,
    OrderPageBody,
    PageQuery,
    PayBody,
    PlaceBody,
    ReceiptBody,
    SignatureHeaders,
    WebhookBody,
)

MINUTE: Final = timedelta(minutes=1)
BEARER: Final = security_scheme([{"bearer": []}])

P = ParamSpec("P")
R = TypeVar("R")
F = TypeVar("F", bound=Callable[..., Any])
Document = dict[str, Any]


@dataclass(frozen=True)
class RouteLimits:
    """Requests per minute and instance: `order` and `read` of one buyer, `webhook` of one address."""

    order: int
    read: int
    webhook: int


@dataclass(frozen=True)
class Edge:
    """What the edge needs; the provider signs its webhooks with `webhook_key`."""

    deps: Deps
    verifier: TokenVerifier
    health: Health
    limits: RouteLimits
    webhook_key: str
    trusted_proxies: tuple[str, ...] = ()
    api_pages: bool = True


def create_app(edge: Edge) -> Quart:
    app = create_http_app(
        "ordering",
        edge.health,
        verifier=edge.verifier,
        trusted_proxies=edge.trusted_proxies,
        api_pages=edge.api_pages,
    )
    app.config["WEBHOOK_KEY"] = edge.webhook_key
    app.register_blueprint(_reading_routes(edge.deps, edge.limits))
    app.register_blueprint(_writing_routes(edge.deps, edge.limits))
    app.register_blueprint(_webhook_routes(edge.deps, edge.limits))
    return app


def _reading_routes(deps: Deps, limits: RouteLimits) -> Blueprint:
    routes = Blueprint("reading", __name__)

    @routes.get("/orders")
    @rate_limit(limits.read, MINUTE, _buyer_key)
    @tag(["orders"])
    @BEARER
    @documented_problems(401, 403, 422, 429, 503)
    @document_response(OrderPageBody)
    @authenticated(ORDERS_SCOPE)
    @validate_querystring(PageQuery)
    async def list_orders(query_args: PageQuery) -> Response:
        """The buyer's orders, newest first."""
        before = _read_cursor(query_args.after) if query_args.after else None
        found = await orders.select_orders(deps.db, principal().subject, query_args.first + 1, before)
        return _answer(_page(found, query_args.first))

    @routes.get("/orders/<uuid:order_id>")
    @rate_limit(limits.read, MINUTE, _buyer_key)
    @tag(["orders"])
    @BEARER
    @documented_problems(401, 403, 404, 429, 503)
    @document_response(OrderBody)
    @authenticated(ORDERS_SCOPE)
    async def get_order(order_id: UUID) -> Response:
        """One order of the buyer's."""
        order = await orders.select_order(deps.db, order_id, principal().subject)
        if order is None:
            raise NotFound("There is no such order.")
        tell_of(order)
        return _answer(order_document(order))

    return routes


def _writing_routes(deps: Deps, limits: RouteLimits) -> Blueprint:
    routes = Blueprint("writing", __name__)

    @routes.post("/orders")
    @rate_limit(limits.order, MINUTE, _buyer_key)
    @tag(["orders"])
    @BEARER
    @documented_problems(400, 401, 403, 404, 409, 413, 415, 422, 429, 503)
    @document_headers(KeyHeaders)
    @document_response(OrderBody, 200)
    @document_response(OrderBody, 201)
    @authenticated(ORDERS_SCOPE)
    @validate_request(PlaceBody)
    async def place(data: PlaceBody) -> Response:
        """Hold tickets in a new order: 201, or 200 where this Idempotency-Key has placed it before."""
        work = place_order(deps, _buyer(), _idempotency_key(), _placement(data))
        answer = await run_to_completion(work)
        return _answer(answer.document, 200 if answer.replayed else 201)

    @routes.post("/orders/<uuid:order_id>/payment")
    @rate_limit(limits.order, MINUTE, _buyer_key)
    @tag(["orders"])
    @BEARER
    @documented_problems(400, 401, 402, 403, 404, 409, 413, 415, 422, 429, 503)
    @document_headers(KeyHeaders)
    @document_response(OrderBody)
    @authenticated(ORDERS_SCOPE)
    @validate_request(PayBody)
    async def pay(order_id: UUID, data: PayBody) -> Response:
        """Pay an order with a card; the answer has the tickets' codes."""
        work = pay_order(deps, _buyer(), order_id, _idempotency_key(), _card(data.card))
        return _answer((await run_to_completion(work)).document)

    @routes.post("/orders/<uuid:order_id>/cancel")
    @rate_limit(limits.order, MINUTE, _buyer_key)
    @tag(["orders"])
    @BEARER
    @documented_problems(401, 403, 404, 409, 429, 503)
    @document_response(OrderBody)
    @authenticated(ORDERS_SCOPE)
    async def cancel(order_id: UUID) -> Response:
        """Cancel an order; what was paid goes back."""
        return _answer(await run_to_completion(cancel_order(deps, principal().subject, order_id)))

    return routes


def _webhook_routes(deps: Deps, limits: RouteLimits) -> Blueprint:
    routes = Blueprint("webhooks", __name__)

    @routes.post("/webhooks/payments")
    @rate_limit(limits.webhook, MINUTE)
    @tag(["webhooks"])
    @documented_problems(401, 422, 429, 503)
    @document_headers(SignatureHeaders)
    @document_response(ReceiptBody)
    @_signed
    async def hear(body: bytes) -> Document:
        """What the payment provider tells of a charge; its truth is asked for afterwards."""
        try:
            event = WebhookBody.model_validate_json(body)
        except ValidationError as error:
            raise Invalid("This notification cannot be read.", fields=invalid_fields(error)) from error
        return {"handled": await run_to_completion(take_notice(deps, event.id, event.payment_id))}

    return routes


def _signed(handler: Callable[[bytes], Awaitable[R]]) -> Callable[[], Awaitable[R]]:
    """The route needs the payment provider's signature over the body, which the handler gets."""

    @wraps(handler)
    async def wrapper() -> R:
        body = cast(bytes, await request.get_data(as_text=False))
        header = request.headers.get(HEADER, "")
        check_signature(header, body, key=current_app.config["WEBHOOK_KEY"], now_s=time.time())
        return await handler(body)

    wrapper.__authorization__ = "signature"  # type: ignore[attr-defined] # the mark that the route tests look for
    return wrapper


async def _buyer_key() -> str:
    """Whose requests are counted: the buyer's, as all of them come through the gateway's address."""
    if "rate_limit_key" not in g:  # the limiter asks several times a request
        g.rate_limit_key = _whose_request()
    return str(g.rate_limit_key)


def _whose_request() -> str:
    verifier: TokenVerifier = current_app.config["TOKEN_VERIFIER"]
    try:
        token = bearer_token(request.headers.get("Authorization"))
        return f"buyer:{verifier.verify(token).subject}"
    except Unauthorized:
        return f"address:{client_address()}"


def _buyer() -> Buyer:
    """The buyer, with what mails to them need. Raises Unauthorized for a token that does not say it."""
    who = principal()
    lengths_fit = 1 <= len(who.subject) <= 64 and 3 <= len(who.email) <= 320 and len(who.name) <= 2000
    if not lengths_fit or "\0" in who.email + who.name:  # which Postgres does not store
        raise Unauthorized("This session does not say who you are. Log in again.")
    return Buyer(who.subject, who.email, who.name)


def _idempotency_key() -> str:
    key = request.headers.get("Idempotency-Key", "")
    if not re.fullmatch(KEY_PATTERN, key):
        raise Invalid(
            "The request needs an Idempotency-Key.",
            fields={"Idempotency-Key": "Send 1 to 200 visible ASCII characters, new for each new request."},
        )
    return key


def _placement(body: PlaceBody) -> Placement:
    return Placement(
        concert_id=str(body.concert_id),
        wanted=tuple(Wanted(str(line.tier_id), line.quantity) for line in body.lines),
    )


def _card(body: CardBody) -> Card:
    return read_card(
        body.number.get_secret_value(),
        body.expiry.get_secret_value(),
        body.cvc.get_secret_value(),
        datetime.now(UTC),
    )


def _answer(document: Document, status: int = 200) -> Response:
    """The document as JSON: for a plain dictionary quart-schema would build a validator of its own each time."""
    response = jsonify(document)
    response.status_code = status
    return response


def _page(found: list[Order], first: int) -> Document:
    shown = found[:first]
    return {
        "nodes": [order_document(order) for order in shown],
        "pageInfo": {
            "hasNextPage": len(found) > first,
            "endCursor": _write_cursor(shown[-1]) if shown else None,
        },
    }


def _write_cursor(order: Order) -> str:
    """Opaque to clients: where the page ended, by creation time and id."""
    return base64.urlsafe_b64encode(f"{order.created_at.isoformat()} {order.id}".encode()).decode()


def _read_cursor(cursor: str) -> tuple[datetime, UUID]:
    try:
        at, _, last_id = base64.b64decode(cursor, altchars=b"-_", validate=True).decode().partition(" ")
        moment = datetime.fromisoformat(at)
        if moment.tzinfo is None or not 2000 <= moment.year < 9999:
            raise ValueError("not a time that we have written")
        return moment, UUID(last_id)
    except (ValueError, binascii.Error) as error:
        raise Invalid("This page cannot be found.", fields={"after": "Use the endCursor of a page."}) from error
