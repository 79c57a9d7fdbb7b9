"""The whole system as tests and measurements use it: on ports and data of its own, started and stopped in one block."""

import contextlib
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.apphost.builders import CHECKOUT
from services.apphost.errors import ApphostError
from services.apphost.process import Command, Process, start
from services.apphost.sockets import ask, control_file
from services.apphost.state import RUNNING
from services.apphost.supervisor import ALL_STOP_S

START_S = 150.0  # and as much again for each further instance
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
        """End a part as a crash would (SIGKILL): it is started again. Raises ApphostError while it is down."""
        self._tell(part, "kill")

    def restart(self, part: str, timeout_s: float = 60) -> None:
        """Kill a part and return once its successor is healthy. Raises TimeoutError."""
        self.kill(part)
        self._wait_for(part, timeout_s)

    @contextlib.contextmanager
    def down(self, part: str, timeout_s: float = 60) -> Iterator[None]:
        """Inside the block the part is dead, as after a crash; afterwards it is healthy again. Raises TimeoutError."""
        self._tell(part, "stop?grace_s=0")
        try:
            yield
        finally:
            self._tell(part, "start")
            self._wait_for(part, timeout_s)

    @contextlib.contextmanager
    def frozen(self, part: str) -> Iterator[None]:
        """Inside the block the part, with its descendants, is stopped (SIGSTOP): connected, and silent.

        Raises ApphostError while it is down.
        """
        self._tell(part, "freeze")
        try:
            yield
        finally:
            self._tell(part, "thaw")

    def _tell(self, part: str, verb: str) -> None:
        ask(control_file(self.state), "POST", f"/parts/{part}/{verb}")

    def _wait_for(self, part: str, timeout_s: float) -> None:
        deadline = time.monotonic() + timeout_s
        while ask(control_file(self.state), "GET", f"/parts/{part}")["state"] != "running":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{part} did not come back within {timeout_s:g} s")
            time.sleep(POLL_S)


@contextlib.contextmanager
def running_system(
    state: Path,
    *parts: str,
    env: Mapping[str, str] | None = None,
    without: Sequence[str] = (),
    instances: int = 1,
) -> Iterator[System]:
    """Run the system on free ports, with its data in ``state``; without ``parts`` all of it but what is left out.

    ``env`` adds to what every service is told; ``instances`` there are of each service that may have several. It
    ends with the block, or with this process however that ends. Raises ApphostError when it does not start; the
    error's notes hold what it printed.
    """
    options = ["--state", str(state), "--free-ports", "--volatile", f"--instances={instances}"]
    output: list[str] = []
    process = start(_command([*options, *(f"--without={part}" for part in without)], parts, env or {}), output.append)
    try:
        facts = _until_ready(state, process, output, START_S * instances)
        yield System(state=state, urls=facts["urls"], ports=facts["ports"], output=output)
    finally:
        _end(process)


def _command(options: Sequence[str], parts: Sequence[str], env: Mapping[str, str]) -> Command:
    inherited = {key: value for key, value in os.environ.items() if not key.startswith("TICKETFLOW_")}
    return Command(
        argv=[sys.executable, "-m", "services.apphost", *options, "up", *parts],
        env=inherited | dict(env),
        cwd=CHECKOUT,
    )


def _until_ready(state: Path, process: Process, output: Sequence[str], timeout_s: float) -> dict[str, Any]:
    deadline = time.monotonic() + timeout_s
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
