"""The file itself: what survives, what is forgotten, and what is never overwritten."""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from services.dashboard.store import Store, open_store, pruning
from services.dashboard.store.batches import Batch, LogRow, SeriesRow, SourceRow
from services.dashboard.store.inserts import FORGET_AT_ONCE, MAX_SERIES, SILENT_NS, Inserts
from services.dashboard.store.pruning import STEP_ROWS, Limits
from services.dashboard.store.rows import LogQuery, TraceQuery
from services.dashboard.store.schema import APPLICATION_ID, VERSION, open_reader, open_writer
from services.defaults.errors import NotFound, Unavailable
from services.defaults.settings import SettingsError
from tests.dashboard.conftest import ROOMY, running_store
from tests.dashboard.support import NOW_NS, SECOND_NS, TRACE_ID, Clock, keep, log, logs, metrics, span, spans

HOUR_NS = 3600 * SECOND_NS


def size_of(path: Path) -> int:
    return path.stat().st_size


async def test_telemetry_outlives_a_restart(store_path: Path, clock: Clock) -> None:
    for number in (1, 2):
        async with running_store(store_path, clock) as store:
            await keep(store, spans(span(number)), logs(log("x")))
    async with running_store(store_path, clock) as store:
        assert (await store.find_traces(TraceQuery())).traces[0].spans == 2
        assert (await store.stats()).logs.rows == 2


@pytest.mark.parametrize("content", [b"not a database at all", b"SQLite format 3\0 and then nothing of ours", b"S"])
def test_a_file_that_is_not_ours_stops_the_start_and_stays_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "mine.db"
    path.write_bytes(content)
    with pytest.raises(SettingsError, match="DASHBOARD_DB"):
        open_writer(path)
    assert path.read_bytes() == content


def test_another_programs_database_stays_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "payments.db"
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE charges (id)")
    connection.close()
    with pytest.raises(SettingsError, match="DASHBOARD_DB"):
        open_writer(path)


def test_a_path_that_cannot_be_written_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="DASHBOARD_DB"):
        open_writer(tmp_path / "file" / "telemetry.db")


def garble(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[4096 : 4096 * 3] = b"\xa5" * (4096 * 2)
    path.write_bytes(content)


def of_another_version(path: Path) -> None:
    connection = sqlite3.connect(path)
    connection.execute(f"PRAGMA user_version = {VERSION + 1}")
    connection.close()


@pytest.mark.parametrize("spoil", [garble, of_another_version])
async def test_a_file_of_ours_that_cannot_be_used_is_moved_aside(
    store_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture, spoil: Any
) -> None:
    async with running_store(store_path, clock) as store:
        await keep(store, spans(span(1)))
    spoil(store_path)
    async with running_store(store_path, clock) as store:
        await keep(store, logs(log("goes on")))
        assert (await store.stats()).spans.rows == 0
    (aside,) = store_path.parent.glob("*.aside")
    assert aside.stat().st_size > 0
    assert "moved aside" in caplog.text


async def test_a_file_that_was_only_begun_is_finished(store_path: Path, clock: Clock) -> None:
    store_path.parent.mkdir()
    connection = sqlite3.connect(store_path)
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")
    connection.close()
    async with running_store(store_path, clock) as store:
        await keep(store, spans(span(1)))
        assert (await store.stats()).spans.rows == 1


async def test_what_is_too_old_is_forgotten_with_all_that_belongs_to_it(store: Store, clock: Clock) -> None:
    sent = metrics()
    sent.resource_metrics[0].scope_metrics[0].metrics.add(name="m").gauge.data_points.add(as_int=1)
    await keep(store, spans(span(1)), logs(log("old")), sent)
    clock.now_ns += 2 * HOUR_NS
    for _ in range(4):
        await keep(store, logs(log("new"), service="catalog"), now_ns=clock.now_ns)
    stats = await store.stats()
    assert (stats.spans.rows, stats.points.rows, stats.traces, stats.series) == (0, 0, 0, 0)
    assert [line.body for line in (await store.find_logs(LogQuery())).lines] == ["new"] * 4
    assert await store.services() == ["catalog"]
    with pytest.raises(NotFound):
        await store.trace(TRACE_ID)


async def test_a_trace_that_goes_on_spares_none_of_those_that_ended(
    store: Store, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pruning, "STEP_ROWS", 2)
    await keep(store, spans(span(1)))
    for number in range(1, 6):
        clock.now_ns += SECOND_NS
        await keep(store, spans(span(1, trace_id=f"{number:032x}")))
    clock.now_ns += 2 * HOUR_NS
    await keep(store, spans(span(2, parent=1)), now_ns=clock.now_ns)
    for _ in range(6):
        await store.writer.submit(Batch(), "spans")
    assert [summary.trace_id for summary in (await store.find_traces(TraceQuery())).traces] == [TRACE_ID]
    assert (await store.stats()).traces == 1


async def test_ids_of_lines_are_never_used_again(store: Store, clock: Clock) -> None:
    await keep(store, logs(log("old")))
    (old,) = (await store.find_logs(LogQuery())).lines
    clock.now_ns += 2 * HOUR_NS
    await store.writer.submit(Batch(), "logs")
    assert (await store.stats()).logs.rows == 0
    await keep(store, logs(log("new")))
    (new,) = (await store.find_logs(LogQuery())).lines
    assert new.id > old.id


async def test_the_file_keeps_to_its_size_and_one_kind_spares_the_others(store_path: Path, clock: Clock) -> None:
    limits = Limits(max_bytes=4_000_000, max_age_s=3600)
    async with running_store(store_path, clock, limits) as store:
        await keep(store, logs(*[log("kept through the flood") for _ in range(100)]))
        for number in range(40):
            flood = [span(each, trace_id=f"{number:08x}{each:024x}", text="x" * 500) for each in range(1, 500)]
            clock.now_ns += SECOND_NS
            await keep(store, spans(*flood))
        stats = await store.stats()
        assert stats.bytes < limits.max_bytes * 1.1
        assert size_of(store_path) < limits.max_bytes * 1.4
        assert stats.logs.rows == 100
        assert 0 < stats.spans.rows < 40 * 499
        assert stats.traces <= stats.spans.rows + STEP_ROWS
        newest = (await store.find_traces(TraceQuery(limit=1000))).traces
        assert any(summary.trace_id.startswith(f"{39:08x}") for summary in newest)


async def test_a_smaller_limit_gives_the_disk_back(store_path: Path, clock: Clock) -> None:
    async with running_store(store_path, clock) as store:
        for number in range(1, 9):
            sent = [span(each, trace_id=f"{number:032x}", text="x" * 1000) for each in range(1, 999)]
            await keep(store, spans(*sent))
    before = size_of(store_path)
    async with running_store(store_path, clock, Limits(max_bytes=4_000_000, max_age_s=3600)) as store:
        for _ in range(40):
            await store.writer.submit(Batch(), "logs")
    assert before > 8_000_000
    assert size_of(store_path) < 6_000_000


async def test_more_than_may_wait_is_refused_at_once(store: Store) -> None:
    many = logs(*[log("x")] * 6000)
    results = await asyncio.gather(keep(store, many), keep(store, many), return_exceptions=True)
    assert [type(result) for result in results] == [type(None), Unavailable]
    stats = await store.stats()
    assert (stats.logs.rows, stats.refused, store.writer.pending_rows) == (6000, 1, 0)


async def test_a_write_that_fails_is_told_and_the_next_may_succeed(
    store: Store, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)

    def full(*_: object) -> int:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as patch:
        patch.setattr(Inserts, "keep", full)
        with pytest.raises(Unavailable):
            await keep(store, spans(span(1)))
        with pytest.raises(OSError, match="disk is full"):
            await store.check()
    await keep(store, spans(span(1)))
    await store.check()
    assert (await store.stats()).spans.rows == 1


async def test_a_damaged_file_ends_the_writer_for_the_next_start_to_mend(
    store_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damaged(*_: object) -> int:
        error = sqlite3.DatabaseError("database disk image is malformed")
        error.sqlite_errorcode = sqlite3.SQLITE_CORRUPT
        raise error

    async with open_store(store_path, ROOMY, clock_ns=clock) as store:
        monkeypatch.setattr(Inserts, "keep", damaged)
        running = asyncio.create_task(store.writer.run(asyncio.Event()))
        with pytest.raises(Unavailable):
            await keep(store, spans(span(1)))
        with pytest.raises(sqlite3.DatabaseError):
            await running


async def test_what_comes_after_the_writer_has_ended_is_refused(store_path: Path, clock: Clock) -> None:
    async with open_store(store_path, ROOMY, clock_ns=clock) as store:
        stop = asyncio.Event()
        stop.set()
        await store.writer.run(stop)
        async with asyncio.timeout(10):
            with pytest.raises(Unavailable) as refusal:
                await keep(store, spans(span(1)))
        assert refusal.value.retry_after_s


async def test_a_file_damaged_under_way_is_told_to_readers(
    store_path: Path, clock: Clock, caplog: pytest.LogCaptureFixture
) -> None:
    async with running_store(store_path, clock) as store:
        await keep(store, spans(span(1)))
    async with open_store(store_path, ROOMY, clock_ns=clock) as store:
        garble(store_path)
        for _ in range(3):  # more often than there are readers
            with pytest.raises(Unavailable):
                await store.services()
    assert "telemetry cannot be read" in caplog.text


async def test_what_waits_is_kept_before_the_writer_stops(store_path: Path, clock: Clock) -> None:
    async with open_store(store_path, ROOMY, clock_ns=clock) as store:
        keeping = [asyncio.create_task(keep(store, spans(span(number)))) for number in range(1, 6)]
        await asyncio.sleep(0)
        stop = asyncio.Event()
        stop.set()
        await store.writer.run(stop)
        await asyncio.gather(*keeping)
        assert (await store.stats()).spans.rows == 5


async def test_a_writer_that_is_cancelled_lets_its_senders_go(
    store_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun, may_end = threading.Event(), threading.Event()
    rooms = Inserts.keep

    def slow(self: Inserts, batch: Batch, now_ns: int) -> int:
        begun.set()
        may_end.wait(10)
        return rooms(self, batch, now_ns)

    monkeypatch.setattr(Inserts, "keep", slow)
    async with open_store(store_path, ROOMY, clock_ns=clock) as store:
        writing = asyncio.create_task(store.writer.run(asyncio.Event()))
        keeping = asyncio.create_task(keep(store, spans(span(1))))
        await asyncio.to_thread(begun.wait, 10)
        writing.cancel()
        with pytest.raises(Unavailable):
            await asyncio.wait_for(keeping, 10)
        may_end.set()


def gauges(*names: str) -> ExportMetricsServiceRequest:
    sent = metrics()
    for name in names:
        sent.resource_metrics[0].scope_metrics[0].metrics.add(name=name).gauge.data_points.add(as_int=1)
    return sent


def made_up(count: int) -> Batch:
    names = [f"made.up.{number}" for number in range(count)]
    return Batch(
        series={name.encode(): SeriesRow(name, "gauge", "", "", False, True, "s", "i", "{}") for name in names}
    )


async def test_ever_new_series_are_rejected_when_there_are_enough(store: Store, clock: Clock) -> None:
    await store.writer.submit(made_up(MAX_SERIES), "points")
    for _ in range(2):
        await keep(store, gauges("late"), now_ns=clock.now_ns)
        clock.now_ns += SILENT_NS
    stats = await store.stats()
    assert (stats.series, stats.points.rows, stats.points.rejected) == (MAX_SERIES, 0, 2)


async def test_series_that_fell_silent_make_room_for_new_ones(store: Store, store_path: Path, clock: Clock) -> None:
    await keep(store, gauges("silent"), gauges("goes on"))
    await store.writer.submit(made_up(MAX_SERIES - 2), "points")
    clock.now_ns += SILENT_NS + SECOND_NS
    await keep(store, gauges("goes on", "new"), now_ns=clock.now_ns)
    stats = await store.stats()
    assert (stats.series, stats.points.rejected) == (MAX_SERIES - FORGET_AT_ONCE + 1, 0)
    with pytest.raises(NotFound):
        await store.label_values("silent")
    with closing(open_reader(store_path)) as connection:
        points = connection.execute("SELECT name, time_ns FROM points LEFT JOIN series ON series.id = series_id")
        assert points.fetchall() == [("goes on", NOW_NS), ("goes on", clock.now_ns), ("new", clock.now_ns)]


async def test_a_search_that_takes_too_long_is_given_up(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.dashboard.store.reading.TIME_LIMIT_S", -1.0)
    monkeypatch.setattr("services.dashboard.store.reading.LOOK_EVERY", 1)
    await keep(store, logs(*[log("x")] * 50))
    with pytest.raises(Unavailable, match="too long"):
        await store.find_logs(LogQuery(text="y"))


async def test_reads_go_on_while_much_is_written(store: Store) -> None:
    rows = [LogRow(b"d", "s", NOW_NS, 9, "", "x", "{}", None, None, None, None)] * 4000
    source = {b"d": SourceRow("s", "", "", "{}", "", "")}
    writing = asyncio.create_task(store.writer.submit(Batch(sources=source, logs=rows), "logs"))
    assert await store.services() in ([], ["s"])
    await writing
