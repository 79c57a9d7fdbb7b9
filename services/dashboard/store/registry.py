"""The tables that other rows refer to by number: sources and series."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from heapq import nsmallest
from typing import Any, Final

from services.dashboard.store.batches import SeriesRow, SourceRow

TOUCH_NS: Final = 30_000_000_000  # how exactly `used_ns` is kept up


class Registry:
    """The numbers of the rows of one table, known by their digests. For the writing thread.

    At most `max_rows`: whoever makes up ever new ones is refused, and costs no more memory.
    """

    def __init__(self, connection: sqlite3.Connection, table: str, columns: Sequence[str], max_rows: int) -> None:
        self._connection = connection
        self._max_rows = max_rows
        names = ", ".join(("digest", "used_ns", *columns))
        marks = ", ".join("?" * (len(columns) + 2))
        self._load = f"SELECT digest, id, used_ns FROM {table}"  # noqa: S608 # of constants
        self._insert = f"INSERT INTO {table} ({names}) VALUES ({marks})"  # noqa: S608 # of constants
        self._touch = f"UPDATE {table} SET used_ns = ? WHERE id = ?"  # noqa: S608 # of constants
        self._delete = f"DELETE FROM {table} WHERE used_ns < ?"  # noqa: S608 # of constants
        self._delete_one = f"DELETE FROM {table} WHERE id = ?"  # noqa: S608 # of constants
        self.reload()

    def __len__(self) -> int:
        return len(self._known)

    def reload(self) -> None:
        """Reads the table anew, as after a transaction that came to nothing."""
        self._known: dict[bytes, tuple[int, int]] = {
            digest: (number, used_ns) for digest, number, used_ns in self._connection.execute(self._load)
        }

    def numbers(self, rows: Mapping[bytes, Sequence[Any]], now_ns: int) -> dict[bytes, int]:
        """The number of each row, made where it is new; those that there is no room for are left out."""
        found: dict[bytes, int] = {}
        for digest, values in rows.items():
            number = self._number(digest, values, now_ns)
            if number is not None:
                found[digest] = number
        return found

    def forget(self, before_ns: int) -> None:
        """Deletes what has not been used since `before_ns`."""
        if self._connection.execute(self._delete, (before_ns,)).rowcount:
            self.reload()

    def lacks_room(self, wanted: Collection[bytes]) -> bool:
        """Whether some of these are new, and would be left out."""
        return len(self._known) + sum(digest not in self._known for digest in wanted) > self._max_rows

    def unused(self, before_ns: int, most: int, spared: Collection[bytes]) -> list[int]:
        """The numbers of the rows that have not been used since `before_ns`, those first that were used longest ago."""
        rows = (
            (used_ns, number)
            for digest, (number, used_ns) in self._known.items()
            if used_ns < before_ns and digest not in spared
        )
        return [number for _, number in nsmallest(most, rows)]

    def delete(self, numbers: Collection[int]) -> None:
        """Deletes these rows."""
        self._connection.executemany(self._delete_one, ((number,) for number in numbers))
        self.reload()

    def _number(self, digest: bytes, values: Sequence[Any], now_ns: int) -> int | None:
        known = self._known.get(digest)
        if known is None:
            return self._add(digest, values, now_ns)
        number, used_ns = known
        if now_ns - used_ns > TOUCH_NS:
            self._connection.execute(self._touch, (now_ns, number))
            self._known[digest] = (number, now_ns)
        return number

    def _add(self, digest: bytes, values: Sequence[Any], now_ns: int) -> int | None:
        if len(self._known) >= self._max_rows:
            return None
        number = int(self._connection.execute(self._insert, (digest, now_ns, *values)).lastrowid or 0)
        self._known[digest] = (number, now_ns)
        return number


def source_registry(connection: sqlite3.Connection, max_rows: int) -> Registry:
    return Registry(connection, "sources", SourceRow._fields, max_rows)


def series_registry(connection: sqlite3.Connection, max_rows: int) -> Registry:
    return Registry(connection, "series", SeriesRow._fields, max_rows)
