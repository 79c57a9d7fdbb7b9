"""Finding log lines."""

from __future__ import annotations

import json
import sqlite3
from dataclasses import fields
from typing import Any, Final

from services.dashboard.domain.kinds import Severity
from services.dashboard.store.conditions import Conditions, contains, cursor, id_bytes, page_size, read_cursor
from services.dashboard.store.rows import LogLine, LogPage, LogQuery

# The columns are in the order of LogLine's fields. CROSS: the lines lead, in the order of their index.
_SELECT: Final = (
    "SELECT l.id, l.time_ns, l.severity, l.service, o.instance, l.body, l.attributes, l.trace_id, l.span_id,"
    " l.order_id, l.order_number FROM logs l CROSS JOIN sources o ON o.id = l.source_id"
)
_COLUMNS: Final = tuple(field.name for field in fields(LogLine))
_TEXT: Final = r"(l.body LIKE ? ESCAPE '\' OR l.attributes LIKE ? ESCAPE '\')"


def select_logs(connection: sqlite3.Connection, query: LogQuery) -> LogPage:
    limit = page_size(query.limit)
    conditions = _conditions(query)
    if query.before:
        conditions.add("(l.time_ns, l.id) < (?, ?)", *read_cursor(query.before))
    rows = connection.execute(
        f"{_SELECT} {conditions.where()} ORDER BY l.time_ns DESC, l.id DESC LIMIT ?", (*conditions.values, limit + 1)
    ).fetchall()
    last = rows[limit - 1] if len(rows) > limit else None
    return LogPage(lines=[_line(row) for row in rows[:limit]], next=cursor(last[1], last[0]) if last else "")


def _conditions(query: LogQuery) -> Conditions:
    conditions = Conditions()
    conditions.add_if("l.service = ?", query.service)
    conditions.add_if("o.instance = ?", query.instance)
    conditions.add_if("l.severity >= ?", query.severity or None)
    if query.severity >= Severity.WARN:
        conditions.add("l.severity >= 13")  # the same again, as the words of the index for it
    conditions.add_if(_TEXT, contains(query.text))
    if query.trace_id:
        conditions.add("l.trace_id = ?", id_bytes(query.trace_id, 16))
    if query.span_id:
        conditions.add("l.span_id = ?", id_bytes(query.span_id, 8))
    conditions.add_if("(l.order_id = ? OR l.order_number = ?)", query.order)
    return conditions


def _line(row: tuple[Any, ...]) -> LogLine:
    values = dict(zip(_COLUMNS, row, strict=True))
    values["attributes"] = json.loads(values["attributes"])
    for name in ("trace_id", "span_id"):
        values[name] = values[name].hex() if values[name] else ""
    for name in ("order_id", "order_number"):
        values[name] = values[name] or ""
    return LogLine(**values)
