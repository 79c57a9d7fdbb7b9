"""Days of the calendar, as people and programs write them to the shop."""

from __future__ import annotations

from datetime import date


def parse_day(text: str) -> date:
    """`2030-12-31`, and nothing else of what ISO 8601 allows. Raises `ValueError`."""
    day = date.fromisoformat(text)
    if day.isoformat() != text:
        raise ValueError(f"{text!r} is not written year-month-day")
    return day
