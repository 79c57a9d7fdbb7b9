"""Finding log lines, and hearing of those that come."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from services.dashboard.domain.kinds import Severity
from services.dashboard.store import Store
from services.dashboard.store.rows import LogQuery
from services.defaults.errors import Invalid
from tests.dashboard.support import NOW_NS, SECOND_NS, TRACE_ID, keep, log, logs, span, spans


async def keep_lines(store: Store) -> None:
    await keep(
        store,
        logs(
            log("Order placed", order_number="TF-1", time_ns=NOW_NS - 3 * SECOND_NS, trace_id=TRACE_ID),
            log("hold lapsed: 100% gone", severity=13, reason="<b>EXPIRED</b>", time_ns=NOW_NS - SECOND_NS),
        ),
        logs(log("mail failed", severity=17, order_id="o-1", time_ns=NOW_NS - 2 * SECOND_NS), service="notifications"),
    )


async def bodies(store: Store, **query: Any) -> list[str]:
    return [line.body for line in (await store.find_logs(LogQuery(**query))).lines]


@pytest.mark.parametrize(
    ("query", "fitting"),
    [
        ({}, ["hold lapsed: 100% gone", "mail failed", "Order placed"]),
        ({"service": "notifications"}, ["mail failed"]),
        ({"instance": "one", "service": "notifications"}, ["mail failed"]),
        ({"instance": "two"}, []),
        ({"severity": Severity.INFO}, ["hold lapsed: 100% gone", "mail failed", "Order placed"]),
        ({"severity": Severity.WARN}, ["hold lapsed: 100% gone", "mail failed"]),
        ({"severity": Severity.ERROR}, ["mail failed"]),
        ({"text": "order PLACED"}, ["Order placed"]),
        ({"text": "<b>expired"}, ["hold lapsed: 100% gone"]),
        ({"text": "100%"}, ["hold lapsed: 100% gone"]),
        ({"text": "1%0"}, []),
        ({"trace_id": TRACE_ID}, ["Order placed"]),
        ({"trace_id": "not one"}, []),
        ({"span_id": "00" * 8}, []),
        ({"order": "TF-1"}, ["Order placed"]),
        ({"order": "o-1"}, ["mail failed"]),
    ],
)
async def test_a_search_finds_what_fits_newest_first(store: Store, query: dict[str, Any], fitting: list[str]) -> None:
    await keep_lines(store)
    assert await bodies(store, **query) == fitting


async def test_a_line_keeps_all_that_it_says(store: Store) -> None:
    await keep_lines(store)
    line = (await store.find_logs(LogQuery(text="placed"))).lines[0]
    assert (line.service, line.instance, line.severity) == ("ordering", "one", 9)
    assert (line.trace_id, line.order_number, line.order_id) == (TRACE_ID, "TF-1", "")
    assert line.attributes == {"order_number": "TF-1"}


async def test_pages_follow_each_other(store: Store) -> None:
    await keep(store, logs(*[log(str(number), time_ns=NOW_NS + number // 3) for number in range(10)]))
    first = await store.find_logs(LogQuery(limit=4))
    second = await store.find_logs(LogQuery(limit=4, before=first.next))
    third = await store.find_logs(LogQuery(limit=4, before=second.next))
    shown = [line.body for page in (first, second, third) for line in page.lines]
    assert shown == [str(number) for number in reversed(range(10))]
    assert third.next == ""


async def test_a_page_that_is_none_is_invalid(store: Store) -> None:
    with pytest.raises(Invalid):
        await store.find_logs(LogQuery(before="here"))


async def test_whoever_waits_for_lines_is_woken_by_lines_alone(store: Store) -> None:
    await keep_lines(store)
    seen = store.changes.version("logs")
    waiting = asyncio.create_task(store.changes.wait("logs", seen))
    await keep(store, spans(span(1)))
    assert not waiting.done()
    await keep(store, logs(log("new")))
    assert await waiting > seen
    assert "new" in await bodies(store)


async def test_a_change_that_came_before_the_wait_is_not_missed(store: Store) -> None:
    seen = store.changes.version("logs")
    await keep_lines(store)
    async with asyncio.timeout(1):
        assert await store.changes.wait("logs", seen) != seen
