"""What the tests of the sandbox provider share."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

API_KEY = "an API key of the tests, 32 bytes or more"


class Clock:
    """Stands still until it is moved."""

    def __init__(self) -> None:
        self.now = datetime(2030, 5, 17, 12, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)
