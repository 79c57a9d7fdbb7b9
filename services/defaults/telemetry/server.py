"""The server's side of HTTP: a span and a measurement for each request, by its route.

The instrumentation library for ASGI knows no routes of Quart's, so that each order would be a name of its own.
It also costs several times as much.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from opentelemetry import metrics, propagate
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import SpanKind

from services.defaults.logs import scrub
from services.defaults.telemetry.instruments import latencies
from services.defaults.telemetry.scope import new_scope, untraced
from services.defaults.telemetry.spans import ERROR, Labels, observe

# Probes, files that the browser keeps, and telemetry itself, which would tell of its own telling for ever.
UNTRACED: Final = re.compile(
    r"^/(?:health|alive|metrics|favicon\.ico|robots\.txt|v1/(?:traces|metrics|logs))$"
    r"|^/(?:assets|static|posters|docs)/"
)
METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
MAX_TEXT: Final = 200  # characters of what a stranger sends: a path, the name of a browser
ROUTE: Final = "ticketflow.route"

_meter = metrics.get_meter("services.defaults")
_clock = latencies("services.defaults", "http.server.request.duration", "Requests taken")


class InFlight:
    """How many requests are being worked on."""

    def __init__(self) -> None:
        self.count = 0

    def observe(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self.count)]


_in_flight = InFlight()
_meter.create_observable_up_down_counter(
    "http.server.active_requests", [_in_flight.observe], "{request}", "Requests being worked on"
)


class TraceRequests:
    """Wraps an ASGI application. Baggage that strangers send is dropped at this door."""

    def __init__(self, app: Any) -> None:
        self._app = app
        self._carried = {name.encode() for name in propagate.get_global_textmap().fields} - {b"baggage"}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
        elif UNTRACED.match(scope["path"]):
            with untraced():
                await self._app(scope, receive, send)
        else:
            with self._span(scope) as labels:
                await self._app(scope, receive, _noting_status(send, labels))

    @contextmanager
    def _span(self, scope: Any) -> Iterator[Labels]:
        method = scope["method"] if scope["method"] in METHODS else "_OTHER"
        labels: Labels = {"http.request.method": method, "url.scheme": scope["scheme"]}
        carrier = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"] if k in self._carried}
        parent = propagate.extract(carrier, Context())
        _in_flight.count += 1
        try:
            with (
                new_scope(),
                observe(method, SpanKind.SERVER, labels, parent=parent, clock=_clock, labels=labels) as span,
            ):
                if span.is_recording():
                    span.set_attributes(_details(scope))
                try:
                    yield labels
                finally:
                    if route := scope.get(ROUTE):
                        labels["http.route"] = route
                        span.update_name(f"{method} {route}")
                    span.set_attributes(labels)
                    if labels.get("http.response.status_code", 0) >= 500:
                        labels["error.type"] = str(labels["http.response.status_code"])
                        span.set_status(ERROR)  # why, has been noted by whoever made the answer
        finally:
            _in_flight.count -= 1


def note_route(scope: Any, rule: str) -> None:
    """Tells the request's span which of Quart's rules it came under."""
    scope[ROUTE] = _template(rule)


@lru_cache(maxsize=256)
def _template(rule: str) -> str:
    """`/orders/<uuid:order_id>` as the semantic conventions write it: `/orders/{order_id}`."""
    return re.sub(r"<(?:[^:<>]+:)?([^<>]+)>", r"{\1}", rule)


def _noting_status(send: Any, labels: Labels) -> Any:
    async def noting(message: Any) -> None:
        if message["type"] == "http.response.start":
            labels["http.response.status_code"] = message["status"]
        await send(message)

    return noting


def _details(scope: Any) -> dict[str, str]:
    """What is told of a request by its span only. The query is not: it may hold what a person typed."""
    agent = next((value for name, value in scope["headers"] if name == b"user-agent"), b"")
    return {
        "url.path": scrub(scope["path"][:MAX_TEXT]),
        "user_agent.original": scrub(agent.decode("latin-1")[:MAX_TEXT]),
    }
