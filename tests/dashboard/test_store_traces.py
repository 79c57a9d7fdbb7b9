"""Finding traces, their trees, the map of services, and the story of an order."""

from __future__ import annotations

from typing import Any

import pytest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from services.dashboard.store import Store
from services.dashboard.store.conditions import MAX_LIMIT
from services.dashboard.store.rows import TraceQuery
from services.defaults.errors import Invalid, NotFound
from tests.dashboard.support import NOW_NS, SECOND_NS, TRACE_ID, keep, log, logs, span, spans

CLIENT, PRODUCER, CONSUMER = Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_PRODUCER, Span.SPAN_KIND_CONSUMER
OTHER_ID = "f" * 32
MS = 1_000_000


async def keep_purchase(store: Store) -> None:
    """A purchase through three services, and another trace that has nothing to do with it."""
    order: dict[str, Any] = {"ticketflow__order__id": "o-1", "ticketflow__order__number": "TF-1"}
    await keep(
        store,
        spans(span(1, name="page place_order", duration_ns=90 * MS), service="gateway"),
        spans(
            span(2, parent=1, name="POST /orders", duration_ns=50 * MS, start_ns=NOW_NS - SECOND_NS + MS, **order),
            span(
                3, parent=2, name="INSERT orders", kind=CLIENT, db__system__name="postgresql", note="50%_off", **order
            ),
            span(4, parent=2, name="send order.created.v1", kind=PRODUCER, messaging__system="rabbitmq", **order),
            service="ordering",
        ),
        spans(
            span(5, parent=4, name="process order.created.v1", kind=CONSUMER, error=True, messaging__system="rabbitmq"),
            service="notifications",
        ),
        spans(span(6, name="GET /concerts", trace_id=OTHER_ID, start_ns=NOW_NS - 9 * SECOND_NS), service="gateway"),
    )


async def found(store: Store, **query: Any) -> list[str]:
    return [summary.trace_id for summary in (await store.find_traces(TraceQuery(**query))).traces]


async def test_a_summary_tells_the_whole_trace_in_a_line(store: Store) -> None:
    await keep_purchase(store)
    summary, other = (await store.find_traces(TraceQuery())).traces
    assert (summary.trace_id, summary.root_service, summary.root_name) == (TRACE_ID, "gateway", "page place_order")
    assert (summary.spans, summary.errors, summary.start_ns) == (5, 1, NOW_NS - SECOND_NS)
    assert summary.duration_ns == 90 * MS
    assert dict(summary.services) == {"ordering": 3, "gateway": 1, "notifications": 1}
    assert other.trace_id == OTHER_ID


@pytest.mark.parametrize(
    ("query", "fits"),
    [
        ({"service": "ordering"}, True),
        ({"service": "catalog"}, False),
        ({"operation": "POST /orders"}, True),
        ({"service": "gateway", "operation": "POST /orders"}, False),
        ({"text": "insert ORD"}, True),
        ({"text": "50%_off"}, True),
        ({"text": "50_off"}, False),
        ({"order": "TF-1"}, True),
        ({"order": "o-1"}, True),
        ({"order": "TF-2"}, False),
        ({"errors_only": True}, True),
        ({"min_ns": 90 * MS}, True),
        ({"min_ns": 91 * MS}, False),
    ],
)
async def test_a_search_finds_what_fits(store: Store, query: dict[str, Any], fits: bool) -> None:
    await keep_purchase(store)
    assert (TRACE_ID in await found(store, **query)) is fits


@pytest.mark.parametrize("sort", ["newest", "slowest"])
async def test_pages_follow_each_other_without_gap_or_double(store: Store, sort: Any) -> None:
    sent = [
        span(1, trace_id=f"{number:032x}", start_ns=NOW_NS - number // 2 * SECOND_NS, duration_ns=number % 3 * MS)
        for number in range(1, 12)
    ]
    await keep(store, spans(*sent))
    everything = await found(store, sort=sort, limit=100)
    pages, before = [], ""
    for _ in range(4):
        page = await store.find_traces(TraceQuery(sort=sort, limit=3, before=before))
        pages += [summary.trace_id for summary in page.traces]
        before = page.next
    assert before == ""
    assert pages == everything
    assert len(set(pages)) == 11


@pytest.mark.parametrize("before", ["x", "1", "1-", "99999999999999999999-1", "9223372036854775808-1"])
async def test_a_page_that_is_none_is_invalid(store: Store, before: str) -> None:
    with pytest.raises(Invalid):
        await store.find_traces(TraceQuery(before=before))


async def test_a_trace_is_a_tree_with_everything_its_spans_say(store: Store) -> None:
    await keep_purchase(store)
    trace = await store.trace(TRACE_ID)
    assert [(line.depth, line.span.name) for line in trace.lines] == [
        (0, "page place_order"),
        (1, "POST /orders"),
        (2, "INSERT orders"),
        (2, "send order.created.v1"),
        (3, "process order.created.v1"),
    ]
    insert = trace.lines[2]
    assert insert.shifted_ns > 0  # it was sent as if begun before its parent
    assert insert.span.attributes["note"] == "50%_off"
    assert (insert.span.peer, insert.span.order_number) == ("postgresql", "TF-1")
    assert (insert.span.source.resource["service.version"], insert.span.source.scope) == ("1.2.3", "tests")
    assert trace.duration_ns == 90 * MS


@pytest.mark.parametrize("trace_id", ["e" * 32, "", "zz", "<script>"])
async def test_a_trace_that_is_not_there(store: Store, trace_id: str) -> None:
    with pytest.raises(NotFound):
        await store.trace(trace_id)


async def test_a_root_that_comes_last_names_the_trace(store: Store) -> None:
    await keep(store, spans(span(2, parent=1, name="child")))
    assert (await store.find_traces(TraceQuery())).traces[0].root_name == "child"
    await keep(store, spans(span(1, name="root"), service="gateway"))
    summary = (await store.find_traces(TraceQuery())).traces[0]
    assert (summary.root_service, summary.root_name, summary.spans) == ("gateway", "root", 2)


async def test_no_more_operations_than_one_can_choose_from(store: Store) -> None:
    await keep(store, spans(*[span(number, name=f"{number:04}") for number in range(1, MAX_LIMIT + 10)]))
    assert await store.operations("ordering") == [f"{number:04}" for number in range(1, MAX_LIMIT + 1)]


async def test_what_a_sender_repeats_counts_once(store: Store) -> None:
    await keep(store, spans(span(1, error=True)), spans(span(1, error=True), span(2, parent=1)))
    (summary,) = (await store.find_traces(TraceQuery())).traces
    assert (summary.spans, summary.errors) == (2, 1)


async def test_services_and_operations(store: Store) -> None:
    await keep_purchase(store)
    assert await store.services() == ["gateway", "notifications", "ordering"]
    assert await store.operations("gateway") == ["GET /concerts", "page place_order"]
    assert len(await store.operations()) == 6


async def test_the_map_shows_who_calls_whom(store: Store) -> None:
    await keep_purchase(store)
    drawn = await store.service_map(NOW_NS - 10 * SECOND_NS, NOW_NS)
    assert {(edge.source, edge.target) for edge in drawn.edges} == {
        ("gateway", "ordering"),
        ("ordering", "postgresql"),
        ("ordering", "rabbitmq"),
        ("rabbitmq", "notifications"),
    }
    nodes = {node.name: node for node in drawn.nodes}
    assert {name: node.kind for name, node in nodes.items()} == {
        "gateway": "service",
        "ordering": "service",
        "notifications": "service",
        "postgresql": "database",
        "rabbitmq": "messaging",
    }
    assert (nodes["gateway"].calls, nodes["gateway"].rate_per_s) == (2, 0.2)
    assert nodes["notifications"].errors == 1
    (called,) = [edge for edge in drawn.edges if edge.target == "ordering"]
    assert called.latency.p95_ns == 50 * MS


async def test_operations_with_their_figures(store: Store) -> None:
    await keep_purchase(store)
    stats = await store.operation_stats(NOW_NS - 2 * SECOND_NS, NOW_NS)
    assert {(each.service, each.name, each.calls, each.errors) for each in stats} == {
        ("gateway", "page place_order", 1, 0),
        ("ordering", "POST /orders", 1, 0),
        ("notifications", "process order.created.v1", 1, 1),
    }


@pytest.mark.parametrize("name", ["TF-1", "o-1"])
async def test_an_order_is_told_in_the_order_of_time(store: Store, name: str) -> None:
    await keep_purchase(store)
    retried = span(7, parent=2, name="HoldTickets", ticketflow__order__id="o-1", start_ns=NOW_NS - 5 * MS)
    retried.events.add(name="retry", time_unix_nano=NOW_NS - 4 * MS)
    await keep(
        store,
        spans(retried),
        logs(
            log("paid", order_id="o-1", time_ns=NOW_NS),
            log("mailed", order_number="TF-1", severity=17, time_ns=NOW_NS + 1),
            log("another's", order_number="TF-2"),
        ),
    )
    story = await store.order_story(name)
    assert (story.order_id, story.order_number, story.cut) == ("o-1", "TF-1", False)
    assert [trace.trace_id for trace in story.traces] == [TRACE_ID]
    titles = [(moment.kind, moment.title) for moment in story.timeline]
    assert titles[-4:] == [("span", "HoldTickets"), ("event", "retry"), ("log", "paid"), ("log", "mailed")]
    assert ("span", "POST /orders") in titles
    assert story.timeline[-1].error
    assert "another's" not in str(titles)


async def test_an_order_that_nothing_carries(store: Store) -> None:
    with pytest.raises(NotFound):
        await store.order_story("TF-404")
