"""Forgetting what is oldest, in steps small enough to go unnoticed."""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from typing import Final

from services.dashboard.store.inserts import Inserts
from services.dashboard.store.schema import PAGE_BYTES, used_bytes

STEP_ROWS: Final = 2_000
VACUUM_PAGES: Final = 500
OVERSIZE: Final = 1.25  # pages are given back beyond this: those of ordinary ups and downs are soon used again
SLACK_NS: Final = 120_000_000_000  # `used_ns` of sources and series lags behind by less than this


@dataclass(frozen=True)
class Limits:
    """How much is kept."""

    max_bytes: int
    max_age_s: float


@dataclass(frozen=True)
class Kind:
    """A table that is pruned. `row_bytes` is what a row and its index entries take on average, as measured;
    `share` is the part of the file that the kind may claim, so that a flood of one kind spares the others.
    """

    table: str
    row_bytes: int
    share: float


KINDS: Final = (Kind("spans", 800, 0.5), Kind("logs", 600, 0.2), Kind("points", 150, 0.3))


def prune(connection: sqlite3.Connection, inserts: Inserts, limits: Limits, now_ns: int) -> bool:
    """One step, in the caller's transaction; whether there may be more to do."""
    horizon_ns = now_ns - round(limits.max_age_s * 1e9)
    stale = [kind for kind in KINDS if (oldest_ns(connection, kind) or now_ns) < horizon_ns]
    if stale:
        _delete(connection, stale[0], horizon_ns)
    elif used_bytes(connection) > limits.max_bytes:
        greediest = max(KINDS, key=lambda kind: rows(connection, kind) * kind.row_bytes / kind.share)
        _delete(connection, greediest, now_ns + 1)
    else:
        return False
    _delete_unused(connection, inserts, now_ns)
    return True


def shrink(connection: sqlite3.Connection, limits: Limits) -> None:
    """Gives some of the free pages back to the disk, where an earlier limit allowed more. In no transaction."""
    pages = connection.execute("PRAGMA page_count").fetchone()[0]
    if pages * PAGE_BYTES > limits.max_bytes * OVERSIZE:
        # As a script: `execute` takes one step of a statement without columns, and each step frees one page.
        connection.executescript(f"PRAGMA incremental_vacuum({VACUUM_PAGES})")


def rows(connection: sqlite3.Connection, kind: Kind) -> int:
    """How many rows there are, within what failed insertions and forgotten series left out: counting them all would
    take long.
    """
    first, last = connection.execute(
        f"SELECT (SELECT min(id) FROM {kind.table}), (SELECT max(id) FROM {kind.table})"  # noqa: S608 # of constants
    ).fetchone()
    return 0 if first is None else int(last - first + 1)


def oldest_ns(connection: sqlite3.Connection, kind: Kind) -> int | None:
    row = connection.execute(
        f"SELECT received_ns FROM {kind.table} ORDER BY id LIMIT 1"  # noqa: S608 # of constants
    ).fetchone()
    return None if row is None else int(row[0])


def _delete(connection: sqlite3.Connection, kind: Kind, before_ns: int) -> None:
    connection.execute(
        f"DELETE FROM {kind.table} WHERE received_ns < ? AND id < "  # noqa: S608 # of constants
        f"(SELECT min(id) FROM {kind.table}) + {STEP_ROWS}",
        (before_ns,),
    )


def _delete_unused(connection: sqlite3.Connection, inserts: Inserts, now_ns: int) -> None:
    """Traces whose last span is gone, and the sources and series of nothing that is left."""
    spans_ns, logs_ns, points_ns = (oldest_ns(connection, kind) or now_ns for kind in KINDS)
    connection.execute(
        # Not by the range of their ids: a trace that goes on may stand first for as long as it likes.
        "DELETE FROM traces WHERE id IN (SELECT id FROM traces WHERE received_ns < ? ORDER BY id LIMIT ?)",
        (spans_ns, STEP_ROWS),
    )
    inserts.sources.forget(min(spans_ns, logs_ns) - SLACK_NS)
    inserts.forget_series(points_ns - SLACK_NS)
