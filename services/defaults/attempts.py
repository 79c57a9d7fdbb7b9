"""One call over several attempts: time limits, retries and circuit breakers, whatever the transport.

The policy is that of .NET's standard resilience handler
(https://learn.microsoft.com/dotnet/core/resilience/http-resilience): a total limit, around retries with
exponential back-off and jitter, around a breaker, around a limit for each attempt. Two things differ: the
back-off is shorter, because a person waits, and each instance has a breaker of its own, so that a sick one
does not cut off the healthy ones. The transport says how an attempt failed by raising `AttemptFailed`.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import random
import time
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final, TypeVar

import stamina
from opentelemetry import metrics
from purgatory import AsyncCircuitBreakerFactory, Event
from purgatory.domain.model import OpenedState

from services.defaults.deadline import remaining_s
from services.defaults.discovery import Discovery, Endpoint
from services.defaults.errors import AppError, Unavailable

T = TypeVar("T")
Send = Callable[[Endpoint, float], Awaitable[T]]  # makes one attempt there, within so many seconds
logger = logging.getLogger(__name__)

CLOSED: Final = "closed"
_meter = metrics.get_meter("services.defaults")
_breaker_changes = _meter.create_counter("circuit_breakers.changes", "{change}", "Breakers that changed their state")
_breakers_open = _meter.create_up_down_counter("circuit_breakers.open", "{breaker}", "Breakers that are not closed")


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Limits in seconds, and counts. A wait over `backoff_max_s` or beyond the total ends the call."""

    total_s: float = 30.0
    attempt_s: float = 10.0
    connect_s: float = 2.0
    retries: int = 3
    backoff_s: float = 0.2
    backoff_max_s: float = 1.0  # who is asked to wait for longer passes that on: a person may still be watching
    break_after: int = 5  # failures in a row
    break_s: float = 5.0


DEFAULT_POLICY: Final = Policy()


class AttemptFailed(Exception):
    """How an attempt failed; `error` is what the caller is told if it was the last.

    `sent` is False where nobody can have acted on the request, `transient` where another attempt may succeed,
    `lost` where the instance did not answer at all, `slow` where it came to no end in time, or said that itself.
    """

    def __init__(
        self,
        error: AppError,
        *,
        sent: bool = True,
        transient: bool = False,
        lost: bool = False,
        slow: bool = False,
    ) -> None:
        super().__init__(f"{error.code}: {error.message}")
        self.error = error
        self.sent = sent
        self.transient = transient
        self.lost = lost
        self.slow = slow

    @property
    def is_fault(self) -> bool:
        """Whether the instance is to blame, rather than what it was asked."""
        return self.lost or self.error.status >= 500


class Caller:
    """Calls the instances of one service under one policy."""

    def __init__(self, service: str, discovery: Discovery, policy: Policy = DEFAULT_POLICY) -> None:
        self._service = service
        self._discovery = discovery
        self._policy = policy
        self._breakers = AsyncCircuitBreakerFactory(
            policy.break_after, policy.break_s, exclude=[(AttemptFailed, _is_no_fault)]
        )
        self._states: dict[str, str] = {}  # of those breakers that ever changed
        self._breakers.add_listener(self._log_breaker)

    async def call(
        self, send: Send[T], *, repeatable: bool, timeout_s: float | None = None, may_be_slow: bool = False
    ) -> T:
        """What `send` returns, from the first attempt that succeeds.

        `timeout_s` replaces the policy's total; the caller's own deadline shortens either. What is not
        `repeatable` is attempted again only while nothing has been sent. That what `may_be_slow` is slow is not held
        against the instance: it may be what it was asked. Raises the `AppError` of the last attempt, `Unavailable`
        if no instance answered.
        """
        limit = _Limit(self._policy.total_s if timeout_s is None else timeout_s)
        rule = self._retry_rule(limit, repeatable=repeatable)
        try:
            async for attempt in stamina.retry_context(rule, attempts=self._policy.retries + 1, timeout=None):
                with attempt:
                    return await self._attempt(send, limit, may_be_slow=may_be_slow)
        except AttemptFailed as failed:
            raise failed.error from failed
        raise AssertionError("stamina yields attempts until one returns or raises")

    def _retry_rule(self, limit: _Limit, *, repeatable: bool) -> Callable[[Exception], bool | float]:
        numbers = itertools.count()

        def wait_s(failure: Exception) -> bool | float:
            if not isinstance(failure, AttemptFailed) or not failure.transient:
                return False
            if failure.sent and not repeatable:
                return False
            pause_s = self._pause_s(failure, next(numbers))
            return pause_s if pause_s is not None and pause_s < limit.left_s() else False

        return wait_s

    def _pause_s(self, failure: AttemptFailed, number: int) -> float | None:
        """Seconds before retry `number` (from 0), with full jitter; None where that is too long to wait."""
        policy = self._policy
        if not failure.sent:
            return random.uniform(0, policy.backoff_s)  # noqa: S311  # no secret; another instance takes it
        asked_s = None if failure.lost else failure.error.retry_after_s
        if asked_s is None:
            return random.uniform(0, min(policy.backoff_max_s, policy.backoff_s * 2.0**number))  # noqa: S311  # no secret
        if asked_s > policy.backoff_max_s:
            return None
        return asked_s + random.uniform(0, policy.backoff_s)  # noqa: S311  # no secret

    async def _attempt(self, send: Send[T], limit: _Limit, *, may_be_slow: bool) -> T:
        endpoint = await self._pick(limit)
        try:
            return await self._guarded(endpoint, self._timed(send, endpoint, limit), may_be_slow=may_be_slow)
        except OpenedState as opened:
            # Left out, so that the next attempt goes elsewhere; with nowhere else to go, fail at once.
            # purgatory raises one and the same exception each time, which would collect tracebacks.
            self._discovery.refused(self._service, endpoint)
            others = len(await self._discovery.endpoints(self._service)) > 1
            away = self._away(self._policy.break_s)
            raise AttemptFailed(away, sent=False, transient=others) from opened.with_traceback(None)
        except AttemptFailed as failed:
            if failed.lost and not (may_be_slow and failed.slow):
                self._discovery.refused(self._service, endpoint)
            raise

    async def _pick(self, limit: _Limit) -> Endpoint:
        try:
            async with asyncio.timeout(limit.left_s()):
                return await self._discovery.pick(self._service)
        except TimeoutError as error:
            raise AttemptFailed(self._away(), sent=False) from error

    async def _guarded(self, endpoint: Endpoint, attempt: Callable[[], Awaitable[T]], *, may_be_slow: bool) -> T:
        """Raises `OpenedState` while the instance's breaker is open."""
        breaker = await self._breakers.get_breaker(str(endpoint))
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(breaker)
            try:
                return await attempt()
            except BaseException as failure:
                if not isinstance(failure, AttemptFailed) or (may_be_slow and failure.slow):
                    # A caller who left or was in a hurry, a slow question, or a bug of ours: no news of the
                    # instance, good or bad.
                    stack.pop_all()
                raise

    def _timed(self, send: Send[T], endpoint: Endpoint, limit: _Limit) -> Callable[[], Awaitable[T]]:
        async def timed() -> T:
            patience_s = min(self._policy.attempt_s, limit.own_left_s())
            attempt_s = min(patience_s, limit.left_s())
            try:
                async with asyncio.timeout(attempt_s):
                    return await send(endpoint, attempt_s)
            except TimeoutError as error:
                if attempt_s < patience_s / 2:
                    raise self._away() from error  # anyone may send a deadline: a short one proves nothing
                raise AttemptFailed(self._away(), transient=True, lost=True, slow=True) from error

        return timed

    def _away(self, retry_after_s: float = 1.0) -> Unavailable:
        return unavailable(self._service, retry_after_s)

    def _log_breaker(self, endpoint: str, what: str, event: Event) -> None:
        if what == "state_changed":
            state = str(getattr(event, "state", ""))
            _count_breaker(self._service, self._states.get(endpoint, CLOSED), state)
            self._states[endpoint] = state
            logger.warning("circuit breaker", extra={"to": self._service, "at": endpoint, "state": state})


def unavailable(service: str, retry_after_s: float = 1.0) -> Unavailable:
    """What the caller is told of a service that cannot be reached."""
    message = f"The {service} service is not answering at the moment. Please try again shortly."
    return Unavailable(message, retry_after_s=retry_after_s)


def _count_breaker(peer: str, before: str, now: str) -> None:
    _breaker_changes.add(1, {"peer": peer, "state": now})
    _breakers_open.add((now != CLOSED) - (before != CLOSED), {"peer": peer})


class _Limit:
    """How long a call may go on: its own total, and its caller's deadline where that is sooner."""

    def __init__(self, total_s: float) -> None:
        self._own_end = time.monotonic() + total_s

    def own_left_s(self) -> float:
        return max(0.0, self._own_end - time.monotonic())

    def left_s(self) -> float:
        return remaining_s(self.own_left_s())


def _is_no_fault(failure: AttemptFailed) -> bool:
    return not failure.is_fault
