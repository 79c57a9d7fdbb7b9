"""The gateway as its own process, with nobody behind it: what SIGHUP changes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import requests

from services.apphost.ports import free_ports

ROOT = Path(__file__).parents[2]
PATIENCE_S = 20
NOBODY = {f"{name}_ADDR": "127.0.0.1:1" for name in ("CATALOG", "IDENTITY", "ORDERING")}


@contextmanager
def gateway(tunables: Path) -> Iterator[tuple[subprocess.Popen[bytes], str]]:
    """A running gateway that reads `tunables`, and its address."""
    (port,) = free_ports(1)
    secrets = dict.fromkeys(("JWT_SECRET", "CSRF_SECRET"), "a signing key of the tests, 32 bytes or more")
    told = {"PATH": os.environ["PATH"], "PORT": str(port), "DRAIN_S": "0", "TUNABLES_FILE": str(tunables)}
    process = subprocess.Popen([sys.executable, "-m", "services.gateway"], cwd=ROOT, env=told | secrets | NOBODY)
    address = f"http://127.0.0.1:{port}"
    try:
        wait_until(lambda: is_alive(address))
        yield process, address
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def is_alive(url: str) -> bool:
    try:
        return requests.get(f"{url}/alive", timeout=2).status_code == 200
    except requests.ConnectionError:
        return False


def wait_until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not condition():
        assert time.monotonic() < deadline, f"It did not come about within {PATIENCE_S} s."
        time.sleep(0.05)


def test_what_a_query_may_cost_changes_at_sighup(tmp_path: Path) -> None:
    file = tmp_path / "tunables.env"
    file.write_text("GRAPHQL_MAX_ALIASES=1\n")
    with gateway(file) as (process, address):

        def answers(query: str) -> bool:
            return "data" in requests.post(f"{address}/graphql", json={"query": query}, timeout=10).json()

        assert answers("{ a: __typename }")
        assert not answers("{ a: __typename b: __typename }")
        file.write_text("GRAPHQL_MAX_ALIASES=2\n")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: answers("{ a: __typename b: __typename }"))
        assert not answers("{ a: __typename b: __typename c: __typename }")
