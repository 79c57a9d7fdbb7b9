"""The file: its tables, and opening it whatever is at its path.

Rows are numbered in order of arrival, and forgotten in that order. A file of ours that is damaged, or of another
version of the schema, is moved aside: telemetry is not worth a start that fails, nor is it for us to destroy.
A file that is not ours stays untouched and stops the start.
"""

from __future__ import annotations

import logging
import sqlite3
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from services.defaults.settings import SettingsError

logger = logging.getLogger(__name__)

VERSION: Final = 1
APPLICATION_ID: Final = 0x54464F54  # "TFOT", in the file's header (https://www.sqlite.org/fileformat2.html, 1.3)
MAGIC: Final = b"SQLite format 3\0"
APPLICATION_ID_AT: Final = 68
PAGE_BYTES: Final = 4096
BUSY_TIMEOUT_S: Final = 5.0
WRITER_CACHE_KIB: Final = 16_384
READER_CACHE_KIB: Final = 4_096
WAL_PAGES: Final = 2_000  # after so many the log is copied back into the file
WAL_BYTES: Final = 16_777_216  # what is left of the log after that

SCHEMA: Final = """
CREATE TABLE sources (
    id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, used_ns INTEGER NOT NULL, service TEXT NOT NULL,
    instance TEXT NOT NULL, version TEXT NOT NULL, resource TEXT NOT NULL, scope TEXT NOT NULL,
    scope_version TEXT NOT NULL
) STRICT;

CREATE TABLE spans (
    id INTEGER PRIMARY KEY, received_ns INTEGER NOT NULL, source_id INTEGER NOT NULL, service TEXT NOT NULL,
    trace_id BLOB NOT NULL, span_id BLOB NOT NULL, parent_id BLOB NOT NULL, name TEXT NOT NULL,
    kind INTEGER NOT NULL, start_ns INTEGER NOT NULL, end_ns INTEGER NOT NULL, error INTEGER NOT NULL,
    message TEXT NOT NULL, peer TEXT NOT NULL, order_id TEXT, order_number TEXT, attributes TEXT NOT NULL,
    events TEXT NOT NULL, links TEXT NOT NULL, dropped INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX spans_identity ON spans (trace_id, span_id);
CREATE INDEX spans_operation ON spans (service, name);
CREATE INDEX spans_hop ON spans (start_ns) WHERE kind IN (2, 5) OR peer <> '';
CREATE INDEX spans_order_id ON spans (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX spans_order_number ON spans (order_number) WHERE order_number IS NOT NULL;

CREATE TABLE traces (
    id INTEGER PRIMARY KEY, trace_id BLOB NOT NULL UNIQUE, received_ns INTEGER NOT NULL, start_ns INTEGER NOT NULL,
    end_ns INTEGER NOT NULL, spans INTEGER NOT NULL, errors INTEGER NOT NULL, root_rank INTEGER NOT NULL,
    root_start_ns INTEGER NOT NULL, root_service TEXT NOT NULL, root_name TEXT NOT NULL
) STRICT;
CREATE INDEX traces_start ON traces (start_ns);
CREATE INDEX traces_duration ON traces (end_ns - start_ns);
CREATE INDEX traces_failed ON traces (start_ns) WHERE errors > 0;

CREATE TABLE logs (
    id INTEGER PRIMARY KEY AUTOINCREMENT, -- never used again: open pages know each line by it
    received_ns INTEGER NOT NULL, source_id INTEGER NOT NULL, service TEXT NOT NULL, time_ns INTEGER NOT NULL,
    severity INTEGER NOT NULL, severity_text TEXT NOT NULL, body TEXT NOT NULL,
    attributes TEXT NOT NULL, trace_id BLOB, span_id BLOB, order_id TEXT, order_number TEXT
) STRICT;
CREATE INDEX logs_time ON logs (time_ns);
CREATE INDEX logs_service ON logs (service, time_ns);
CREATE INDEX logs_severe ON logs (time_ns) WHERE severity >= 13;
CREATE INDEX logs_trace ON logs (trace_id) WHERE trace_id IS NOT NULL;
CREATE INDEX logs_order_id ON logs (order_id) WHERE order_id IS NOT NULL;
CREATE INDEX logs_order_number ON logs (order_number) WHERE order_number IS NOT NULL;

CREATE TABLE series (
    id INTEGER PRIMARY KEY, digest BLOB NOT NULL UNIQUE, used_ns INTEGER NOT NULL, name TEXT NOT NULL,
    kind TEXT NOT NULL, unit TEXT NOT NULL, description TEXT NOT NULL, monotonic INTEGER NOT NULL,
    cumulative INTEGER NOT NULL, service TEXT NOT NULL, instance TEXT NOT NULL, attributes TEXT NOT NULL
) STRICT;
CREATE INDEX series_name ON series (name);

CREATE TABLE points (
    id INTEGER PRIMARY KEY, received_ns INTEGER NOT NULL, series_id INTEGER NOT NULL, time_ns INTEGER NOT NULL,
    start_ns INTEGER NOT NULL, value REAL, counted INTEGER, total REAL, least REAL, most REAL, buckets TEXT,
    exemplars TEXT
) STRICT;
CREATE UNIQUE INDEX points_series ON points (series_id, time_ns);
"""


def open_writer(path: Path) -> sqlite3.Connection:
    """The one connection that writes, to a file that is ours and sound. Blocks; reads the whole file.

    Raises `SettingsError` where the path holds something that is not ours, or cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _refuse_foreign(path)
        return _open_ours(path)
    except (OSError, sqlite3.Error) as error:
        raise SettingsError(f"DASHBOARD_DB: {path} cannot be used ({error})") from error


def open_reader(path: Path) -> sqlite3.Connection:
    """A connection that only reads, for use in any one thread at a time."""
    connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    connection.execute("PRAGMA query_only = ON")
    connection.execute(f"PRAGMA cache_size = -{READER_CACHE_KIB}")
    return connection


def used_bytes(connection: sqlite3.Connection) -> int:
    """What rows and indexes take up in the file: pages that are free to be used again are not counted."""
    pages, free = (connection.execute(f"PRAGMA {name}").fetchone()[0] for name in ("page_count", "freelist_count"))
    return int(pages - free) * PAGE_BYTES


def _refuse_foreign(path: Path) -> None:
    if not path.exists() or path.stat().st_size == 0:
        return
    with path.open("rb") as file:
        header = file.read(APPLICATION_ID_AT + 4)
    owner = int.from_bytes(header[APPLICATION_ID_AT:], "big")
    if not header.startswith(MAGIC) or owner != APPLICATION_ID:
        raise SettingsError(f"DASHBOARD_DB: {path} is there and is not a file of the dashboard's")


def _open_ours(path: Path) -> sqlite3.Connection:
    connection = _connect(path)
    reason = _unusable(connection)
    if reason:
        connection.close()
        _move_aside(path, reason)
        connection = _connect(path)
    if connection.execute("PRAGMA user_version").fetchone()[0] == 0:
        _create(connection)
    # With the log ahead, a killed process loses nothing that it has answered.
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA cache_size = -{WRITER_CACHE_KIB}")
    connection.execute(f"PRAGMA wal_autocheckpoint = {WAL_PAGES}")
    connection.execute(f"PRAGMA journal_size_limit = {WAL_BYTES}")
    return connection


def _connect(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)


def _unusable(connection: sqlite3.Connection) -> str:
    """Why an existing file cannot go on being used; empty for a new one and a good one."""
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version not in (0, VERSION):
            return f"schema version {version}, and this is {VERSION}"
        finding = connection.execute("PRAGMA quick_check(1)").fetchone()[0]
    except sqlite3.DatabaseError as error:
        return str(error)
    return "" if finding == "ok" else str(finding)


def _move_aside(path: Path, reason: str) -> None:
    aside = path.with_name(f"{path.name}.{datetime.now(UTC):%Y%m%dT%H%M%S%f}.aside")
    for suffix in ("", "-wal", "-shm"):
        old = path.with_name(path.name + suffix)
        if old.exists():
            old.rename(aside.with_name(aside.name + suffix))
    logger.error("telemetry moved aside, starting anew", extra={"reason": reason, "moved_to": str(aside)})


def _create(connection: sqlite3.Connection) -> None:
    connection.execute(f"PRAGMA page_size = {PAGE_BYTES}")
    connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
    connection.execute(f"PRAGMA application_id = {APPLICATION_ID}")  # first: from here on the file is ours
    connection.execute("PRAGMA journal_mode = WAL")
    connection.executescript(f"BEGIN; {SCHEMA} PRAGMA user_version = {VERSION}; COMMIT;")
