"""How the pages say things: titles of spans, numbers and times, the map's places, a waterfall's widths."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.dashboard.domain.kinds import SpanKind
from services.dashboard.pages.formatting import duration, lasting, link, measured, number, size
from services.dashboard.pages.map_layout import BOX_HEIGHT, BOX_WIDTH, lay_out
from services.dashboard.pages.resources import printed
from services.dashboard.pages.titles import plain_title
from services.dashboard.pages.waterfall import bars, ticks
from services.dashboard.store.rows import Edge, Latency, Node, ServiceMap
from tests.dashboard import samples

NONE = Latency(p50_ns=0, p95_ns=0, p99_ns=0)


@pytest.mark.parametrize(
    ("service", "name", "kind", "title"),
    [
        ("gateway", "POST /concerts/{slug}", SpanKind.SERVER, "Press “Hold tickets”"),
        ("gateway", "mutation payOrder", SpanKind.INTERNAL, "Shop: pay the order"),
        ("gateway", "page pay_order", SpanKind.INTERNAL, "Make the page “pay order”"),
        ("gateway", "POST ordering", SpanKind.CLIENT, "Ask ordering"),
        ("ordering", "catalog/HoldTickets", SpanKind.CLIENT, "Ask catalog: hold the tickets"),
        ("catalog", "ticketflow.catalog.v1.Catalog/HoldTickets", SpanKind.SERVER, "Hold the tickets"),
        ("ordering", "INSERT outbox", SpanKind.CLIENT, "Database: write to outbox"),
        ("ordering", "send order.created.v1", SpanKind.PRODUCER, "Tell the broker: “order created”"),
        (
            "notifications",
            "send notifications.orders.retry.1000",
            SpanKind.PRODUCER,
            "Put aside, to be tried again in 1 s",
        ),
        ("notifications", "send notifications.orders.dead", SpanKind.PRODUCER, "Give up: put among the dead letters"),
        ("notifications", "process order.confirmed.v1", SpanKind.CONSUMER, "Work on “order confirmed”"),
        ("notifications", "send mail", SpanKind.CLIENT, "Send the mail to the buyer"),
        ("somebody", "does a thing", SpanKind.INTERNAL, ""),
        ("somebody", "POST /orders", SpanKind.SERVER, ""),
    ],
)
def test_a_span_is_told_in_words(service: str, name: str, kind: SpanKind, title: str) -> None:
    assert plain_title(service, name, kind) == title


def test_a_cache_is_known_by_its_peer() -> None:
    assert plain_title("catalog", "MGET", SpanKind.CLIENT, peer="redis") == "Cache: mget"
    assert plain_title("catalog", "MGET", SpanKind.CLIENT) == ""


@pytest.mark.parametrize(
    ("ns", "text"),
    [
        (0, "0 s"),
        (1_500, "2 µs"),
        (1_234_567, "1.23 ms"),
        (250_400_000, "250 ms"),
        (1_500_000_000, "1.50 s"),
        (125_000_000_000, "2 min 5 s"),
        (-1_000_000, "−1 ms"),
    ],
)
def test_durations(ns: int, text: str) -> None:
    assert duration(ns) == text


def test_numbers_in_their_units() -> None:
    assert lasting(3 * 3600 + 61) == "3 h 1 min"
    assert [size(0), size(1023), size(1536), size(88_000_000)] == ["0 B", "1023 B", "1.5 KiB", "83.9 MiB"]
    assert [number(0), number(12_345), number(0.12345)] == ["0", "12,345", "0.123"]
    assert measured(0.25, "s") == "250 ms"
    assert measured(3, "{order}") == "3 order"
    assert measured(1.5, "/s") == "1.5/s"
    assert measured(None, "s") == "–"


def test_links_leave_out_what_is_empty_and_encode_the_rest() -> None:
    assert link("/logs", service="", text="a&b=c", before=None) == "/logs?text=a%26b%3Dc"
    assert link("/logs") == "/logs"


def test_printed_lines_are_read_for_people() -> None:
    line = '{"time": "2026-11-24T17:42:19.862+00:00", "level": "info", "message": "mail kept", "mail": "7"}'
    assert printed(line) == "17:42:19.862 info mail kept mail=7"
    assert printed("[error] plain text") == "[error] plain text"
    assert printed("[1, 2]") == "[1, 2]"
    assert printed('{"message": "broken", "exception": "Traceback"}') == "broken\nTraceback"


def service_map(*edges: tuple[str, str, int]) -> ServiceMap:
    names = sorted({name for source, target, _ in edges for name in (source, target)})
    return ServiceMap(
        nodes=[Node(name=name, kind="service", calls=1, errors=0, rate_per_s=0, latency=NONE) for name in names],
        edges=[
            Edge(source=source, target=target, calls=calls, errors=0, rate_per_s=0, latency=NONE)
            for source, target, calls in edges
        ],
        since_ns=0,
    )


def test_callers_stand_to_the_left() -> None:
    found = service_map(
        ("gateway", "ordering", 9),
        ("ordering", "payments", 9),
        ("payments", "ordering", 1),
        ("ordering", "catalog", 9),
        ("gateway", "catalog", 20),
        ("ordering", "rabbitmq", 9),
        ("rabbitmq", "notifications", 9),
        ("notifications", "rabbitmq", 1),
    )
    x = {box.node.name: box.x for box in lay_out(found).boxes}
    assert x["gateway"] < x["ordering"] < x["payments"] == x["catalog"] == x["rabbitmq"] < x["notifications"]


@given(st.lists(st.tuples(st.sampled_from("abcdefgh"), st.sampled_from("abcdefgh"), st.integers(0, 9)), max_size=30))
def test_any_map_is_drawn_without_overlap(edges: list[tuple[str, str, int]]) -> None:
    drawing = lay_out(service_map(*edges))
    corners = [(box.x, box.y) for box in drawing.boxes]
    assert len(set(corners)) == len(corners)
    assert len(drawing.ways) == len(edges)
    for x, y in corners:
        assert 0 <= x <= drawing.width - BOX_WIDTH
        assert 0 <= y <= drawing.height - BOX_HEIGHT


def test_a_waterfall_stays_in_its_width() -> None:
    trace = samples.trace()
    first, second = bars(trace)
    assert (first.left, first.width) == (0.0, 80.0)
    assert (second.left, second.width) == (20.0, 80.0)
    late = replace(trace.lines[1], offset_ns=10 * trace.duration_ns)
    (bar,) = bars(replace(trace, lines=[late]))
    assert bar.left == 100
    assert 0 < bar.width < 1
    (alone,) = bars(replace(trace, lines=[trace.lines[0]], duration_ns=0))
    assert alone.width == 100
    assert ticks(100) == [0, 25, 50, 75, 100]
