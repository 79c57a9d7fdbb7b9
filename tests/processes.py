"""A service in a process of its own, started as an operator would, for tests of the process itself."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parents[1]
PATIENCE_S = 30.0
STOP_S = 20.0


@contextlib.contextmanager
def serving(
    name: str, env: Mapping[str, str], *, ready: str = "/health", log: Path | None = None
) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """The process and its address, once it answers at `ready`; told to stop at the end, and then it must end well.

    What it logs goes into `log`, or to where the test's own output goes.
    """
    with log.open("wb") if log else contextlib.nullcontext() as stderr:
        process = subprocess.Popen([sys.executable, "-m", f"services.{name}"], cwd=ROOT, env=dict(env), stderr=stderr)
    address = f"http://127.0.0.1:{env['PORT']}"
    try:
        wait_until(lambda: answers(address + ready), process)
        yield process, address
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(STOP_S) == 0


def answers(url: str) -> bool:
    """Whether it answers 200; not before somebody listens there."""
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.ConnectionError:
        return False


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    """Returns once the condition holds. Fails when the process ends before, or it takes too long."""
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"It did not come about within {PATIENCE_S:g} s (exit code {process.poll()}).")
        time.sleep(0.05)
