"""Plain titles of spans, for whoever does not know the code; the technical name stands beside them.

The names are those of `docs/observability.md`. What is not known here is shown under its own name.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Final

from services.dashboard.domain.kinds import SpanKind

_EXACT: Final[Mapping[tuple[str, str], str]] = {
    # Pages of the shop, as a browser asks for them
    ("gateway", "GET /"): "Open the home page",
    ("gateway", "GET /concerts"): "Look through the concerts",
    ("gateway", "GET /concerts/{slug}"): "Look at a concert",
    ("gateway", "POST /concerts/{slug}"): "Press “Hold tickets”",
    ("gateway", "GET /orders"): "Look at one's orders",
    ("gateway", "GET /orders/{order_id}"): "Look at an order",
    ("gateway", "POST /orders/{order_id}/payment"): "Press “Pay”",
    ("gateway", "POST /orders/{order_id}/cancellation"): "Let the tickets go",
    ("gateway", "GET /orders/{order_id}/calendar.ics"): "Fetch the calendar entry",
    ("gateway", "POST /register"): "Open an account",
    ("gateway", "GET /register"): "Look at the form for a new account",
    ("gateway", "POST /login"): "Log in",
    ("gateway", "GET /login"): "Look at the log-in form",
    ("gateway", "POST /logout"): "Log out",
    ("gateway", "POST /graphql"): "Ask the shop's API",
    # What the services take from one another
    ("identity", "POST /register"): "Make the account",
    ("identity", "POST /login"): "Check the password",
    ("identity", "POST /refresh"): "Renew the session",
    ("identity", "POST /logout"): "End the session",
    ("identity", "GET /me"): "Say who somebody is",
    ("ordering", "POST /orders"): "Take the order",
    ("ordering", "GET /orders"): "List a buyer's orders",
    ("ordering", "GET /orders/{order_id}"): "Read the order",
    ("ordering", "POST /orders/{order_id}/payment"): "Take the payment for the order",
    ("ordering", "POST /orders/{order_id}/cancel"): "Cancel the order",
    ("ordering", "POST /webhooks/payments"): "Hear how a payment ended",
    ("payments", "POST /charges"): "Charge the card",
    ("payments", "GET /charges/{payment_id}"): "Say how a charge went",
    ("payments", "POST /charges/{payment_id}/void"): "Call off a charge",
    ("payments", "POST /charges/{payment_id}/refund"): "Give the money back",
}
_ANYWHERE: Final[Mapping[str, str]] = {
    "mutation placeOrder": "Shop: place the order",
    "mutation payOrder": "Shop: pay the order",
    "mutation cancelOrder": "Shop: cancel the order",
    "mutation register": "Shop: open an account",
    "mutation login": "Shop: log in",
    "mutation refreshToken": "Shop: renew the session",
    "mutation logout": "Shop: log out",
    "query order": "Shop: read an order",
    "query myOrders": "Shop: read one's orders",
    "query concert": "Shop: read a concert",
    "query concerts": "Shop: read concerts",
    "query me": "Shop: who is logged in",
    "relay outbox": "Send what waits in the outbox",
    "recover payment": "Finish a payment that was cut off",
    "release tickets": "Free tickets that nobody bought",
    "expire order": "End an order that was not paid in time",
    "send webhook": "Tell the shop how the payment ended",
    "write mail": "Write the mail, with its tickets",
    "send mail": "Send the mail to the buyer",
    "POST merchant": "Call the shop back",
}
_CALLS: Final[Mapping[str, str]] = {
    "ListConcerts": "Find concerts",
    "GetConcert": "Read the concert",
    "BatchGetConcerts": "Read several concerts",
    "HoldTickets": "Hold the tickets",
    "ConfirmHold": "Make the held tickets the buyer's",
    "ReleaseHold": "Free the tickets",
}
_VERBS: Final[Mapping[str, str]] = {
    "SELECT": "read",
    "INSERT": "write to",
    "UPDATE": "change",
    "DELETE": "delete from",
    "WITH": "read and change",
}
_EVENTS: Final[Mapping[str, str]] = {
    "order.created.v1": "“order created”",
    "order.confirmed.v1": "“order confirmed”",
    "order.cancelled.v1": "“order cancelled”",
}

_Rule = tuple[re.Pattern[str], Callable[[re.Match[str]], str]]


def _event(name: str) -> str:
    return _EVENTS.get(name, f"“{name}”")


_SENDING: Final[tuple[_Rule, ...]] = (
    (
        re.compile(r"send .+\.retry\.(\d+)$"),
        lambda found: f"Put aside, to be tried again in {int(found[1]) / 1000:g} s",
    ),
    (re.compile(r"send .+\.dead$"), lambda found: "Give up: put among the dead letters"),
    (re.compile(r"send (.+)$"), lambda found: f"Tell the broker: {_event(found[1])}"),
)
_TAKING: Final[tuple[_Rule, ...]] = ((re.compile(r"process (.+)$"), lambda found: f"Work on {_event(found[1])}"),)
_CALLING: Final[tuple[_Rule, ...]] = (
    (re.compile(r"(?:GET|POST|PUT|PATCH|DELETE) ([a-z]+)$"), lambda found: f"Ask {found[1]}"),
    (
        re.compile(r"(SELECT|INSERT|UPDATE|DELETE|WITH) (\w+)"),
        lambda found: f"Database: {_VERBS[found[1]]} {found[2]}",
    ),
    (re.compile(r"(BEGIN|COMMIT|ROLLBACK)\b"), lambda found: f"Database: {found[1].lower()}"),
)
_RULES: Final[Mapping[SpanKind, tuple[_Rule, ...]]] = {
    SpanKind.PRODUCER: _SENDING,
    SpanKind.CONSUMER: _TAKING,
    SpanKind.CLIENT: _CALLING,
}
_KINDS: Final[Mapping[SpanKind, str]] = {
    SpanKind.SERVER: "takes a call",
    SpanKind.CLIENT: "makes a call",
    SpanKind.PRODUCER: "sends a message",
    SpanKind.CONSUMER: "takes a message",
    SpanKind.INTERNAL: "works",
    SpanKind.UNSPECIFIED: "works",
}


def plain_title(service: str, name: str, kind: SpanKind | None = None, *, peer: str = "") -> str:
    """What a span does, in words; empty where only its name can tell."""
    known = _EXACT.get((service, name)) or _ANYWHERE.get(name) or _call_title(name, kind)
    if known:
        return known
    if name.startswith("page "):
        return f"Make the page “{name.removeprefix('page ').replace('_', ' ')}”"
    if peer == "redis":
        return f"Cache: {name.lower()}"
    rules = _RULES.get(kind, ()) if kind is not None else (*_SENDING, *_TAKING)
    return next((say(found) for pattern, say in rules if (found := pattern.match(name))), "")


def kind_words(kind: SpanKind) -> str:
    """What a span of this kind is, in words."""
    return _KINDS[kind]


def _call_title(name: str, kind: SpanKind | None) -> str:
    """A gRPC call: `catalog/HoldTickets` where it is made, with the package's name where it is taken."""
    peer, _, method = name.rpartition("/")
    title = _CALLS.get(method, "") if peer else ""
    if title and (kind is SpanKind.CLIENT or "." not in peer):
        return f"Ask catalog: {title[0].lower()}{title[1:]}"
    return title
