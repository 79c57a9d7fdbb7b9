"""Health as a process tells it: readiness with each dependency named, in the shape of
draft-inadarei-api-health-check (`pass`, `warn`, `fail`).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from services.defaults.telemetry import untraced

Check = Callable[[], Awaitable[None]]
"""Returns when the dependency answers, raises when it does not."""

CHECK_TIMEOUT_S: Final = 1.0
FRESH_S: Final = 0.5  # several probes in one moment cost the dependencies one check


@dataclass(frozen=True)
class Outcome:
    ok: bool
    latency_ms: float
    reason: str = ""


class Health:
    """Readiness of one process.

    A failing check of `checks` makes it unready. One of `optional` is shown and only warns: without that
    dependency the process still does its work.
    """

    def __init__(
        self,
        service: str,
        release: str,
        checks: Mapping[str, Check],
        *,
        optional: Mapping[str, Check] | None = None,
    ) -> None:
        self.service = service
        self.release = release
        self.draining = False
        self._checks = dict(checks)
        self._optional = dict(optional or {})
        self._lock = asyncio.Lock()
        self._outcomes: dict[str, Outcome] = {}
        self._checked_at = float("-inf")

    async def report(self) -> tuple[bool, dict[str, Any]]:
        """Whether the process is ready, and the body that says why."""
        outcomes = await self._fresh_outcomes()
        failed = [name for name, outcome in outcomes.items() if not outcome.ok]
        ready = not self.draining and not any(name in self._checks for name in failed)
        status = "fail" if not ready else "warn" if failed else "pass"
        body: dict[str, Any] = {
            "status": status,
            "service": self.service,
            "release": self.release,
            "checks": {name: self._render(name, outcome) for name, outcome in outcomes.items()},
        }
        if self.draining:
            body["output"] = "stopping"
        return ready, body

    async def _fresh_outcomes(self) -> dict[str, Outcome]:
        async with self._lock:
            if time.monotonic() - self._checked_at > FRESH_S:
                everything = {**self._checks, **self._optional}
                results = await asyncio.gather(*(_probe(check) for check in everything.values()))
                self._outcomes = dict(zip(everything, results, strict=True))
                self._checked_at = time.monotonic()
            return self._outcomes

    def _render(self, name: str, outcome: Outcome) -> dict[str, Any]:
        bad = "fail" if name in self._checks else "warn"
        rendered: dict[str, Any] = {
            "status": "pass" if outcome.ok else bad,
            "latencyMs": round(outcome.latency_ms, 1),
        }
        if outcome.reason:
            rendered["output"] = outcome.reason
        return rendered


async def _probe(check: Check) -> Outcome:
    """Gives up on time even where the check does not let itself be cancelled, as drivers of a frozen server do."""
    started = time.perf_counter()
    with untraced():
        task = asyncio.ensure_future(check())
    done, _ = await asyncio.wait([task], timeout=CHECK_TIMEOUT_S)
    if not done:
        task.cancel()
        task.add_done_callback(_forget)
        reason = "no answer in time"
    else:
        error = task.exception()
        reason = type(error).__name__ if error else ""  # a driver's message may hold an address or a password
    return Outcome(reason == "", (time.perf_counter() - started) * 1000, reason)


def _forget(task: asyncio.Future[None]) -> None:
    if not task.cancelled():
        task.exception()  # looked at, so that asyncio does not complain of it
