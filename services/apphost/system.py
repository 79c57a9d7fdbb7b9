"""The whole system as tests and measurements use it: on ports and data of its own, started and stopped in one block."""

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.apphost.builders import CHECKOUT
from services.apphost.errors import ApphostError
from services.apphost.process import Command, Process, descendants, start
from services.apphost.state import RUNNING
from services.apphost.supervisor import ALL_STOP_S, HELD

START_S = 120.0
POLL_S = 0.05


@dataclass(frozen=True)
class System:
    """A system that runs. ``urls`` holds every part's address, and each database's (``catalog_database``, …)."""

    state: Path
    urls: Mapping[str, str]
    ports: Mapping[str, int]
    output: Sequence[str]  # what the app host and the services have printed so far

    def pid(self, part: str) -> int:
        """The part's process now; 0 while it is down. A restart changes it."""
        pid = int(_running(self.state)["pids"][part])
        return pid if Path(f"/proc/{pid}").exists() else 0

    def kill(self, part: str) -> None:
        """End a part as a crash would (SIGKILL); the supervisor starts it again."""
        os.killpg(self.pid(part), signal.SIGKILL)

    def restart(self, part: str, timeout_s: float = 60) -> None:
        """Kill a part and return once its successor is healthy. Raises TimeoutError."""
        before = self.pid(part)
        self.kill(part)
        _wait_until(lambda: _running(self.state)["pids"][part] != before, timeout_s, f"{part} did not come back")

    @contextlib.contextmanager
    def down(self, part: str, timeout_s: float = 60) -> Iterator[None]:
        """Inside the block the part is dead; afterwards it is healthy again. Raises TimeoutError."""
        before, hold = self.pid(part), self.state / HELD / part
        hold.parent.mkdir(exist_ok=True)
        hold.touch()
        try:
            self.kill(part)
            yield
        finally:
            hold.unlink()
        _wait_until(lambda: _running(self.state)["pids"][part] != before, timeout_s, f"{part} did not come back")

    @contextlib.contextmanager
    def frozen(self, part: str) -> Iterator[None]:
        """Inside the block the part, with its descendants, is stopped (SIGSTOP): connected, and silent."""
        pids = [self.pid(part), *descendants(self.pid(part))]
        _signal(pids, signal.SIGSTOP)
        try:
            yield
        finally:
            _signal(pids, signal.SIGCONT)


@contextlib.contextmanager
def running_system(state: Path, *parts: str, env: Mapping[str, str] | None = None) -> Iterator[System]:
    """Run the system on free ports, with its data in ``state``; without ``parts`` all of it.

    ``env`` adds to what every service is told. It ends with the block, or with this process however that ends.
    Raises ApphostError when it does not start; the error's notes hold what it printed.
    """
    output: list[str] = []
    process = start(_command(state, parts, env or {}), output.append)
    try:
        facts = _until_ready(state, process, output)
        yield System(state=state, urls=facts["urls"], ports=facts["ports"], output=output)
    finally:
        _end(process)


def _command(state: Path, parts: Sequence[str], env: Mapping[str, str]) -> Command:
    options = ["--state", str(state), "--free-ports", "--volatile"]
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("TICKETFLOW_")}
    return Command(
        argv=[sys.executable, "-m", "services.apphost", *options, "up", *parts],
        env=inherited | dict(env),
        cwd=CHECKOUT,
    )


def _until_ready(state: Path, process: Process, output: Sequence[str]) -> dict[str, Any]:
    deadline = time.monotonic() + START_S
    while process.exit_code is None and time.monotonic() < deadline:
        facts = _running(state)
        if facts.get("ready"):
            return facts
        time.sleep(POLL_S)
    error = ApphostError("The system did not start.", "What it printed says why.")
    error.add_note("\n".join(output[-60:]))
    raise error


def _end(process: Process) -> None:
    process.ask_to_stop()
    try:
        process.join(ALL_STOP_S + 4)
    except subprocess.TimeoutExpired:
        process.kill()
        process.join(1)


def _running(state: Path) -> dict[str, Any]:
    try:
        facts: dict[str, Any] = json.loads((state / RUNNING).read_text())
    except FileNotFoundError:
        return {}
    return facts


def _wait_until(condition: Callable[[], bool], timeout_s: float, complaint: str) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"{complaint} within {timeout_s:g} s")
        time.sleep(POLL_S)


def _signal(pids: Sequence[int], number: signal.Signals) -> None:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
