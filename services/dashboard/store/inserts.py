"""Keeping batches: the statements of the one transaction that writes several of them."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

from services.dashboard.store.batches import Batch, PointRow, SpanRow
from services.dashboard.store.registry import series_registry, source_registry

MAX_SOURCES: Final = 5_000
MAX_SERIES: Final = 20_000
SILENT_NS: Final = 900_000_000_000  # whatever lives sends its series more often than that
LOOK_NS: Final = 1_000_000_000  # between two looks for silent ones where there were none
FORGET_AT_ONCE: Final = 1_000  # silent series, and their points: few enough to go unnoticed
# A value that stays the same is written again only after so long: most series stand still most of the time.
STILL_NS: Final = 300_000_000_000

_INSERT_SPAN: Final = (
    "INSERT OR IGNORE INTO spans (received_ns, source_id, service, trace_id, span_id, parent_id, name, kind,"
    " start_ns, end_ns, error, message, peer, order_id, order_number, attributes, events, links, dropped)"
    " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_LOG: Final = (
    "INSERT INTO logs (received_ns, source_id, service, time_ns, severity, severity_text, body, attributes,"
    " trace_id, span_id, order_id, order_number) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_INSERT_POINT: Final = (
    "INSERT OR IGNORE INTO points (received_ns, series_id, time_ns, start_ns, value, counted, total, least, most,"
    " buckets, exemplars) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
)
_ADD_TO_TRACE: Final = """
INSERT INTO traces (trace_id, received_ns, start_ns, end_ns, spans, errors, root_rank, root_start_ns, root_service,
    root_name) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (trace_id) DO UPDATE SET
    received_ns = excluded.received_ns,
    start_ns = min(start_ns, excluded.start_ns),
    end_ns = max(end_ns, excluded.end_ns),
    spans = spans + excluded.spans,
    errors = errors + excluded.errors,
    (root_rank, root_start_ns, root_service, root_name) = (
        SELECT excluded.root_rank, excluded.root_start_ns, excluded.root_service, excluded.root_name
        WHERE (excluded.root_rank, excluded.root_start_ns) < (root_rank, root_start_ns)
        UNION ALL SELECT root_rank, root_start_ns, root_service, root_name LIMIT 1)
"""
_COUNT_AGAIN: Final = """
UPDATE traces SET (spans, errors) =
    (SELECT count(*), total(error) FROM spans WHERE spans.trace_id = traces.trace_id) WHERE trace_id = ?
"""


class Inserts:
    """Writes rows, and remembers what it needs to know of those before. For the writing thread."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.sources = source_registry(connection, MAX_SOURCES)
        self.series = series_registry(connection, MAX_SERIES)
        self._last: dict[int, PointRow] = {}
        self._looked_ns = 0

    def reload(self) -> None:
        """Forgets what a transaction that came to nothing had written."""
        self.sources.reload()
        self.series.reload()
        self._last.clear()

    def forget_series(self, before_ns: int) -> None:
        """Deletes the series that have not been used since then."""
        self.series.forget(before_ns)
        if len(self._last) > len(self.series):
            self._last.clear()

    def keep(self, batch: Batch, now_ns: int) -> int:
        """Keeps a batch; returns how many of its rows there was no room for."""
        numbers = self.sources.numbers(batch.sources, now_ns)
        spans = [row for row in batch.spans if row.source in numbers]
        logs = [row for row in batch.logs if row.source in numbers]
        self._insert_spans(spans, numbers, now_ns)
        self._connection.executemany(_INSERT_LOG, _numbered(logs, numbers, now_ns))
        kept_points = self._insert_points(batch, now_ns)
        return len(batch) - len(spans) - len(logs) - kept_points

    def _insert_spans(self, spans: Sequence[SpanRow], numbers: Mapping[bytes, int], now_ns: int) -> None:
        if not spans:
            return
        cursor = self._connection.executemany(_INSERT_SPAN, _numbered(spans, numbers, now_ns))
        gains = _gains(spans, now_ns)
        self._connection.executemany(_ADD_TO_TRACE, gains.values())
        if cursor.rowcount < len(spans):  # some came a second time, as senders do that heard no answer
            self._connection.executemany(_COUNT_AGAIN, ((trace_id,) for trace_id in gains))

    def _insert_points(self, batch: Batch, now_ns: int) -> int:
        """How many points have found their place, those included that say nothing new."""
        if self.series.lacks_room(batch.series):
            self._forget_silent(batch.series, now_ns)
        numbers = self.series.numbers(batch.series, now_ns)
        rows = [(numbers[row.series], row) for row in batch.points if row.series in numbers]
        telling = (
            (now_ns, number, *row[1:]) for number, row in rows if self._tells(number, row, batch.series[row.series][5])
        )
        self._connection.executemany(_INSERT_POINT, telling)
        return len(rows)

    def _forget_silent(self, wanted: Collection[bytes], now_ns: int) -> None:
        """Makes room for new series: each start of a process brings its own, and the dead must not keep them out."""
        if 0 <= now_ns - self._looked_ns < LOOK_NS:  # in vain, and looking takes a while
            return
        silent = self.series.unused(now_ns - SILENT_NS, FORGET_AT_ONCE, wanted)
        if not silent:
            self._looked_ns = now_ns
            return
        self._connection.executemany("DELETE FROM points WHERE series_id = ?", ((number,) for number in silent))
        self.series.delete(silent)
        for number in silent:  # which may be given again
            self._last.pop(number, None)

    def _tells(self, number: int, row: PointRow, repeatable: bool) -> bool:
        """Whether the point says more than the one before; of differences each counts."""
        last = self._last.get(number)
        still = (
            repeatable
            and last is not None
            and 0 <= row.time_ns - last.time_ns < STILL_NS
            and (row.start_ns, row.value, row.counted) == (last.start_ns, last.value, last.counted)
        )
        if not still:
            self._last[number] = row._replace(buckets=None, exemplars=None)
        return not still


def _numbered(rows: Iterable[Any], numbers: Mapping[bytes, int], now_ns: int) -> Iterator[tuple[Any, ...]]:
    return ((now_ns, numbers[row[0]], *row[1:]) for row in rows)


def _gains(spans: Iterable[SpanRow], now_ns: int) -> dict[bytes, list[Any]]:
    """What the spans add to each of their traces, as `_ADD_TO_TRACE` takes it."""
    gains: dict[bytes, list[Any]] = {}
    for span in spans:
        rank = (1 if span.parent_id else 0, span.start_ns)
        gain = gains.get(span.trace_id)
        if gain is None:
            gains[span.trace_id] = [
                span.trace_id,
                now_ns,
                span.start_ns,
                span.end_ns,
                1,
                int(span.error),
                *rank,
                span.service,
                span.name,
            ]
            continue
        gain[2] = min(gain[2], span.start_ns)
        gain[3] = max(gain[3], span.end_ns)
        gain[4] += 1
        gain[5] += span.error
        if rank < (gain[6], gain[7]):
            gain[6:] = [*rank, span.service, span.name]
    return gains
