"""How long the caller of this request will still wait, carried along through every call it causes.

A server opens `deadline_scope` with what its caller says; clients cap their time-outs by `remaining_s` and
tell the next service what is left. Time travels as a duration, never as an instant: clocks differ between
machines. gRPC has its own header for it (`grpc-timeout`); `DEADLINE_HEADER` is HTTP's.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

DEADLINE_HEADER: Final = "X-Request-Timeout-Ms"
MAX_DEADLINE_S: Final = 3600.0  # a longer wish is no deadline, and would overflow a timer further down

_deadline: ContextVar[float | None] = ContextVar("deadline", default=None)  # on the monotonic clock


@contextmanager
def deadline_scope(timeout_s: float | None) -> Iterator[None]:
    """Everything inside has `timeout_s` seconds, or less where an outer scope ends sooner; None adds nothing.

    It stops nothing by itself: it is what `remaining_s` answers from.
    """
    outer = _deadline.get()
    ends = [] if outer is None else [outer]
    if timeout_s is not None:
        ends.append(time.monotonic() + timeout_s)
    token = _deadline.set(min(ends, default=None))
    try:
        yield
    finally:
        _deadline.reset(token)


@contextmanager
def no_deadline() -> Iterator[None]:
    """What is begun inside is for more than this caller, and has the time that it has without any."""
    token = _deadline.set(None)
    try:
        yield
    finally:
        _deadline.reset(token)


def remaining_s(default: float) -> float:
    """Seconds a call may still take: `default`, or what the caller's deadline leaves of it; never below 0."""
    deadline = _deadline.get()
    if deadline is None:
        return default
    return min(default, max(0.0, deadline - time.monotonic()))


def parse_deadline(value: str | None) -> float | None:
    """Seconds from the header's whole milliseconds; None where it is missing or makes no sense."""
    if value is None or not (value.isascii() and value.isdigit()) or len(value) > len("3600000"):
        return None
    return min(int(value) / 1000, MAX_DEADLINE_S)


def format_deadline(timeout_s: float) -> str:
    """The header's value: whole milliseconds, rounded down: nobody works past the caller's patience."""
    return str(max(0, math.floor(timeout_s * 1000)))
