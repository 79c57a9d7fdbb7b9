"""Concerts as the pages meet them: the pages' clock is the real one, so these are dated from now."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from services.gateway.clients import Node
from tests.gateway.fakes import make_concert


def coming_concert(number: int = 1, **changes: Any) -> Node:
    """On sale since yesterday, and on in `number` days."""
    now = datetime.now(UTC)
    dates = {"startsAt": now + timedelta(days=number), "onSaleAt": now - timedelta(days=1)}
    return make_concert(number, **{**dates, **changes})
