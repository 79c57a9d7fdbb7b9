"""The scalars of time."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import Any

from tartiflette.constants import UNDEFINED_VALUE
from tartiflette.language.ast import StringValueNode

from services.gateway.days import parse_day
from services.gateway.schema import scalar


@scalar("DateTime")
class DateTime:
    """RFC 3339 in UTC: `2030-12-31T19:00:00Z`. Inside, an aware `datetime`."""

    def coerce_output(self, value: datetime) -> str:
        spec = "milliseconds" if value.microsecond else "seconds"
        return value.astimezone(UTC).isoformat(timespec=spec).replace("+00:00", "Z")

    def coerce_input(self, value: Any) -> datetime:
        parsed = datetime.fromisoformat(value) if isinstance(value, str) else None
        if parsed is None or parsed.tzinfo is None:
            raise TypeError("DateTime must be RFC 3339 with a time zone, as 2030-12-31T19:00:00Z.")
        return parsed.astimezone(UTC)

    def parse_literal(self, ast: Any) -> Any:
        return _parse(self.coerce_input, ast)


@scalar("Date")
class Date:
    """ISO 8601: `2030-12-31`. Inside, a `date`."""

    def coerce_output(self, value: date) -> str:
        return value.isoformat()

    def coerce_input(self, value: Any) -> date:
        try:
            return parse_day(value)
        except (TypeError, ValueError):
            raise TypeError("Date must be written as 2030-12-31.") from None

    def parse_literal(self, ast: Any) -> Any:
        return _parse(self.coerce_input, ast)


def _parse(coerce: Any, ast: Any) -> Any:
    """A literal in the query; what is no such scalar the engine refuses at the sight of UNDEFINED_VALUE."""
    if not isinstance(ast, StringValueNode):
        return UNDEFINED_VALUE
    try:
        return coerce(ast.value)
    except (TypeError, ValueError):
        return UNDEFINED_VALUE
