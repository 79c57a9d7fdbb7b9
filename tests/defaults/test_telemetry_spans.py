"""How spans are named, joined and left out; in this process, with the SDK's exporter into memory."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import pytest
from grpclib.const import Status
from grpclib.exceptions import GRPCError
from opentelemetry import trace
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import SpanKind, StatusCode

from services.defaults.errors import Conflict, NotFound, Unavailable
from services.defaults.telemetry import (
    annotate,
    consumer_span,
    inject_trace,
    observe,
    producer_span,
    query_span,
    request_span,
    rpc_client_span,
    rpc_server_span,
    spans,
    untraced,
    work_span,
)
from services.defaults.telemetry.metering import may_read_metrics
from services.defaults.telemetry.polling import poll
from services.defaults.telemetry.scope import known_facts
from services.defaults.telemetry.server import TraceRequests, note_route
from services.defaults.telemetry.spans import judge, summarise

CALLER = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"


class Recorded(InMemorySpanExporter):
    def named(self, name: str) -> ReadableSpan:
        (found,) = [span for span in self.get_finished_spans() if span.name == name]
        return found

    def names(self) -> list[str]:
        return [span.name for span in self.get_finished_spans()]


@pytest.fixture
def recorded(monkeypatch: pytest.MonkeyPatch) -> Iterator[Recorded]:
    exporter, provider = Recorded(), TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(spans, "tracer", provider.get_tracer("test"))
    yield exporter
    provider.shutdown()


async def ask(
    path: str, *, method: str = "GET", status: int = 200, route: str = "", trusted: bool = True, **headers: str
) -> None:
    """Sends one request through the middleware to an application that answers with `status`."""

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        if route:
            note_route(scope, route)
        with query_span("SELECT a FROM b", {}):
            await send({"type": "http.response.start", "status": status, "headers": []})
        if status == 599:
            raise ValueError("card 4242424242424242")
        await send({"type": "http.response.body", "body": b""})

    async def nothing(_: Any) -> None:
        return None

    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "scheme": "http", "path": path, "query_string": b"q=x", "headers": raw}
    scope["client"] = ("203.0.113.7", 1)
    await TraceRequests(app, lambda _: trusted)(scope, nothing, nothing)


async def test_a_request_is_called_by_its_route_and_goes_on_with_its_callers_trace(recorded: Recorded) -> None:
    await ask("/orders/1", route="/orders/<uuid:order_id>", traceparent=CALLER, baggage="email=jane@example.com")
    span = recorded.named("GET /orders/{order_id}")
    assert (span.kind, f"{span.context.trace_id:032x}") == (SpanKind.SERVER, CALLER.split("-")[1])
    assert span.parent is not None
    assert f"{span.parent.span_id:016x}" == CALLER.split("-")[2]
    assert dict(span.attributes or {}) == {
        "http.request.method": "GET",
        "url.scheme": "http",
        "url.path": "/orders/1",
        "user_agent.original": "",
        "http.route": "/orders/{order_id}",
        "http.response.status_code": 200,
    }
    assert recorded.named("SELECT b").parent == span.context


async def test_a_stranger_begins_a_trace_of_their_own_that_leads_to_theirs(recorded: Recorded) -> None:
    await ask("/", route="/", trusted=False, traceparent=CALLER)
    span = recorded.named("GET /")
    assert span.parent is None
    assert [f"{link.context.trace_id:032x}" for link in span.links] == [CALLER.split("-")[1]]
    assert span.context.trace_id != span.links[0].context.trace_id


async def test_what_a_stranger_sends_is_no_name_and_scrubbed(recorded: Recorded) -> None:
    await ask("/x/jane@example.com/4242424242424242", method="HACK", status=404)
    span = recorded.named("_OTHER")
    assert (span.attributes or {})["url.path"] == "/x/j…@example.com/[redacted]"


@pytest.mark.parametrize(("status", "failed"), [(404, False), (503, True)])
async def test_an_answer_is_a_failure_from_500_on(recorded: Recorded, status: int, failed: bool) -> None:
    await ask("/", status=status, route="/")
    span = recorded.named("GET /")
    assert (span.status.status_code is StatusCode.ERROR) is failed


async def test_an_exception_is_told_by_its_class_only(recorded: Recorded) -> None:
    with pytest.raises(ValueError, match="card"):
        await ask("/", status=599, route="/")
    span = recorded.named("GET /")
    assert (span.attributes or {})["error.type"] == "ValueError"
    assert (span.status.status_code, span.status.description, span.events) == (StatusCode.ERROR, None, ())


@pytest.mark.parametrize(
    "path", ["/health", "/alive", "/metrics", "/assets/abc/shop.css", "/posters/1.svg", "/robots.txt", "/v1/traces"]
)
async def test_probes_files_and_telemetry_make_no_spans(recorded: Recorded, path: str) -> None:
    await ask(path, traceparent=CALLER)
    assert recorded.names() == []


def test_untraced_work_tells_whom_it_calls_not_to_trace_either(recorded: Recorded) -> None:
    with work_span("work"), untraced():
        with query_span("SELECT 1", {}), rpc_client_span("catalog", "GetConcert"):
            headers = inject_trace()
        with rpc_server_span("x.Catalog", "GetConcert", headers):
            pass
    assert headers["traceparent"].endswith("-00")
    assert recorded.names() == ["work"]


def test_what_is_found_out_is_told_by_open_spans_and_later_ones_and_stays_inside(recorded: Recorded) -> None:
    with work_span("first"):
        with observe("before"):
            pass
        with observe("during"):
            annotate(order_id="o-1", order_number="N-1")
            assert known_facts() == {"order_id": "o-1", "order_number": "N-1"}
        with observe("after"):
            pass
    with work_span("second"):
        assert known_facts() == {}
    told = {"ticketflow.order.id": "o-1", "ticketflow.order.number": "N-1"}
    for name, expected in [("first", told), ("before", {}), ("during", told), ("after", told), ("second", {})]:
        assert dict(recorded.named(name).attributes or {}) == expected
    annotate(order_id="nobody asked")


def test_a_relayed_message_is_in_its_own_trace_and_linked_to_the_batch(recorded: Recorded) -> None:
    with (
        work_span("relay", [{"traceparent": CALLER}, {}]) as batch,
        producer_span("events", "order.created.v1", {"traceparent": CALLER}, {"messaging.message.id": "m"}),
    ):
        headers = inject_trace()
    with consumer_span("queue", "order.created.v1", headers, {}):
        pass
    sent, relay = recorded.named("send order.created.v1"), recorded.named("relay")
    assert f"{sent.context.trace_id:032x}" == CALLER.split("-")[1]
    assert [link.context for link in sent.links] == [batch.get_span_context()]
    assert [f"{link.context.trace_id:032x}" for link in relay.links] == [CALLER.split("-")[1]]
    assert recorded.named("process order.created.v1").parent.span_id == sent.context.span_id  # type: ignore[union-attr] # a root would fail here, too


async def test_an_http_call_that_is_refused_has_failed_for_its_caller(recorded: Recorded) -> None:
    with work_span("work"), request_span("POST", "ordering", "http://10.0.0.1/orders") as told:
        told["http.response.status_code"] = 409
    call = recorded.named("POST ordering")
    assert (call.attributes or {})["error.type"] == "409"
    assert call.status.status_code is StatusCode.ERROR


def test_a_grpc_refusal_carries_our_code_and_is_no_failure(recorded: Recorded) -> None:
    with pytest.raises(GRPCError), rpc_server_span("x.Catalog", "HoldTickets", {}):
        raise GRPCError(Status.FAILED_PRECONDITION) from Conflict("None left.", code="SOLD_OUT")
    span = recorded.named("x.Catalog/HoldTickets")
    attributes = dict(span.attributes or {})
    assert (attributes["error.type"], attributes["rpc.response.status_code"]) == ("SOLD_OUT", "FAILED_PRECONDITION")
    assert span.status.status_code is StatusCode.UNSET


async def test_work_that_outlives_its_request_stays_in_its_trace(recorded: Recorded) -> None:
    late: list[asyncio.Task[None]] = []

    async def finish() -> None:
        await asyncio.sleep(0)
        with query_span("UPDATE orders SET a = 1", {}):
            pass

    with work_span("request"):
        late.append(asyncio.create_task(finish()))
    await late[0]
    assert recorded.named("UPDATE orders").parent == recorded.named("request").context


def test_outside_of_any_trace_there_is_nothing_to_see(recorded: Recorded) -> None:
    with query_span("SELECT 1", {}), observe("x") as span:
        assert not span.is_recording()
    assert recorded.names() == []
    assert trace.get_current_span().get_span_context().is_valid is False


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (NotFound("No."), ("NOT_FOUND", False)),
        (Unavailable("Away."), ("UNAVAILABLE", True)),
        (GRPCError(Status.UNAVAILABLE), ("UNAVAILABLE", True)),
        (GRPCError(Status.NOT_FOUND), ("NOT_FOUND", False)),
        (KeyError("x"), ("KeyError", True)),
        (asyncio.CancelledError(), ("CancelledError", False)),
    ],
)
def test_an_error_is_judged_by_who_is_to_blame(error: BaseException, expected: tuple[str, bool]) -> None:
    assert judge(error) == expected


@pytest.mark.parametrize(
    ("sql", "summary"),
    [
        ("SELECT 1", "SELECT"),
        ("SELECT a FROM orders o WHERE b IN (SELECT 1 FROM x) FOR UPDATE OF o SKIP LOCKED", "SELECT orders"),
        ("SELECT (SELECT count(*) FROM lines l) AS n\n FROM orders", "SELECT orders"),
        ("UPDATE outbox SET a = 1 WHERE id IN (SELECT id FROM x FOR UPDATE)", "UPDATE outbox"),
        ("INSERT INTO keys (a) VALUES ($1) ON CONFLICT (a) DO UPDATE SET a = 1", "INSERT keys"),
        ("DELETE FROM outbox WHERE id IN (SELECT id FROM outbox)", "DELETE outbox"),
        ("WITH placed AS (INSERT INTO orders (a) SELECT 1 RETURNING a) SELECT a FROM placed", "INSERT orders"),
        ("WITH free AS (SELECT id FROM tickets FOR UPDATE SKIP LOCKED) SELECT id FROM free", "SELECT tickets"),
    ],
)
def test_a_statement_is_called_by_its_verb_and_table(sql: str, summary: str) -> None:
    assert summarise(sql) == (summary.split(maxsplit=1)[0], summary)


@pytest.mark.parametrize(
    ("peer", "forwarded", "allowed"),
    [
        ("127.0.0.1", False, True),
        ("10.1.2.3", False, True),
        ("::1", False, True),
        ("127.0.0.1", True, False),
        ("8.8.8.8", False, False),
        ("", False, False),
        ("<local>", False, False),
    ],
)
def test_metrics_are_for_neighbours(peer: str, forwarded: bool, allowed: bool) -> None:
    assert may_read_metrics(peer, forwarded=forwarded) is allowed


async def test_polling_goes_on_whatever_happens_until_told_to_stop() -> None:
    stop, looks = asyncio.Event(), iter([None, Unavailable("Away."), KeyError("a bug"), None])

    async def read() -> None:
        outcome = next(looks, "all seen")
        if outcome == "all seen":
            stop.set()
        elif isinstance(outcome, Exception):
            raise outcome

    async with asyncio.timeout(5):
        await poll(read, stop, every_s=0.001)
    assert next(looks, None) is None
