"""The server's side of HTTP: a span and a measurement for each request, by its route.

The instrumentation library for ASGI knows no routes of Quart's, so that each order would be a name of its own.
It also costs several times as much.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Final

from opentelemetry import metrics, propagate, trace
from opentelemetry.context import Context
from opentelemetry.metrics import CallbackOptions, Observation
from opentelemetry.trace import Link, Span, SpanKind

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

    def __enter__(self) -> None:
        self.count += 1

    def __exit__(self, *_: object) -> None:
        self.count -= 1

    def observe(self, _: CallbackOptions) -> Iterable[Observation]:
        return [Observation(self.count)]


_in_flight = InFlight()
_meter.create_observable_up_down_counter(
    "http.server.active_requests", [_in_flight.observe], "{request}", "Requests being worked on"
)


class TraceRequests:
    """Wraps an ASGI application, and goes on with the trace of whoever asks.

    Where only some are `trusted`, others begin a new trace, linked to theirs: a stranger must neither decide what
    is kept, nor put a million requests into one trace. Baggage is dropped at this door in any case.
    """

    def __init__(self, app: Any, trusted: Callable[[str], bool]) -> None:
        self._app = app
        self._trusted = trusted
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
        parent, links = self._origin(scope)
        span = observe(method, SpanKind.SERVER, labels, parent=parent, links=links, clock=_clock, labels=labels)
        with _in_flight, new_scope(), span as begun:
            if begun.is_recording():
                begun.set_attributes(_details(scope))
            try:
                yield labels
            finally:
                _tell_outcome(begun, scope, labels)

    def _origin(self, scope: Any) -> tuple[Context, Sequence[Link]]:
        carrier = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"] if k in self._carried}
        theirs = propagate.extract(carrier, Context())
        if not carrier or self._trusted((scope.get("client") or ("",))[0]):
            return theirs, ()
        caller = trace.get_current_span(theirs).get_span_context()
        return Context(), [Link(caller)] if caller.is_valid else ()


def _tell_outcome(span: Span, scope: Any, labels: Labels) -> None:
    if route := scope.get(ROUTE):
        labels["http.route"] = route
        span.update_name(f"{labels['http.request.method']} {route}")
        span.set_attribute("http.route", route)
    status = labels.get("http.response.status_code", 0)
    if status:
        span.set_attribute("http.response.status_code", status)
    if status >= 500:
        labels["error.type"] = str(status)
        span.set_status(ERROR)  # why, has been noted by whoever made the answer


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
