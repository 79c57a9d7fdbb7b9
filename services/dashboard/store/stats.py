"""How much is kept."""

from __future__ import annotations

import sqlite3

from services.dashboard.store.changes import Kind
from services.dashboard.store.pruning import KINDS, Limits, oldest_ns, rows
from services.dashboard.store.rows import KindStats, StoreStats
from services.dashboard.store.schema import used_bytes
from services.dashboard.store.writer import Counts


def select_stats(connection: sqlite3.Connection, counts: Counts, limits: Limits) -> StoreStats:
    kinds = {kind.table: kind for kind in KINDS}

    def of(name: Kind) -> KindStats:
        return KindStats(
            rows=rows(connection, kinds[name]),
            oldest_ns=oldest_ns(connection, kinds[name]),
            received=counts.received[name],
            rejected=counts.rejected[name],
            shortened=counts.shortened[name],
        )

    return StoreStats(
        spans=of("spans"),
        logs=of("logs"),
        points=of("points"),
        traces=_count(connection, "traces"),
        series=_count(connection, "series"),
        bytes=used_bytes(connection),
        max_bytes=limits.max_bytes,
        max_age_s=limits.max_age_s,
        refused=counts.refused,
    )


def _count(connection: sqlite3.Connection, table: str) -> int:
    return int(connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0])  # noqa: S608 # of constants
