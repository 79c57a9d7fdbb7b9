"""`make bench`: speed beside a yardstick of the same run, memory, and start-up times; as a table and as JSON."""

from __future__ import annotations

import asyncio
import contextlib
import dataclasses
import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from services.apphost.ports import free_ports
from services.apphost.servers.postgres import program
from services.apphost.state import RUNNING
from services.apphost.system import System, running_system
from tests.bench.measure import (
    Rate,
    graphql_script,
    measure_purchases,
    measure_requests,
    measure_statements,
    resident_mib,
)

ROOT = Path(__file__).parents[2]
RESULT = ROOT / ".ticketflow" / "bench.json"
SECONDS = int(os.environ.get("BENCH_SECONDS", "10"))
CONCERTS = (
    "{ concerts(first: 20) { totalCount nodes { id slug title artist startsAt venue { name city }"
    " priceFrom { amountMinor currency } available } } }"
)


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="ticketflow-bench-") as folder:
        state = Path(folder)
        os.chmod(state, 0o755)  # the servers run as users of their own
        began = time.perf_counter()
        with running_system(state / "system"):
            first_start_s = time.perf_counter() - began
        began = time.perf_counter()
        with running_system(state / "system") as system:
            result = {"start_s": {"first": first_start_s, "second": time.perf_counter() - began}}
            result |= measure(system, state)
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=2))
    show(result)


def measure(system: System, folder: Path) -> dict[str, Any]:
    gateway = system.urls["gateway"]
    memory = {part: resident_mib(pid) for part, pid in running_parts(system).items()}
    with bare_route() as url:
        measure_requests(url, 2)  # warm
        bare = measure_requests(url, SECONDS)
        script = graphql_script(folder, CONCERTS)
        measure_requests(f"{gateway}/graphql", 2, script=script)
        graphql = measure_requests(f"{gateway}/graphql", SECONDS, script=script)
        page = measure_requests(f"{gateway}/concerts", SECONDS)
        bare_again = measure_requests(url, SECONDS)
    purchases = asyncio.run(measure_purchases(system, SECONDS))
    statements = measure_statements(scratch_database(system), SECONDS)
    rates = {
        "bare Quart route": bare,
        "bare Quart route, again": bare_again,
        "GraphQL concerts(first: 20)": graphql,
        "concerts page": page,
        "place + pay": purchases,
        "pgbench, SQL of place + pay": statements,
    }
    yardstick = (bare.per_s + bare_again.per_s) / 2
    return {
        "rates": {name: dataclasses.asdict(rate) for name, rate in rates.items()},
        "ratios": {
            "GraphQL : bare route": graphql.per_s / yardstick,
            "page : bare route": page.per_s / yardstick,
            "place + pay : pgbench": purchases.per_s / statements.per_s,
        },
        "memory_mib": memory,
        "memory_total_mib": sum(memory.values()),
    }


def running_parts(system: System) -> dict[str, int]:
    pids: dict[str, int] = json.loads((system.state / RUNNING).read_text())["pids"]
    return pids


@contextlib.contextmanager
def bare_route() -> Iterator[str]:
    (port,) = free_ports(1)
    url = f"http://127.0.0.1:{port}/"
    command = [sys.executable, "-m", "tests.bench.bare"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PORT": str(port)})
    try:
        wait_until_accepting(port)
        yield url
    finally:
        process.kill()
        process.wait()


def wait_until_accepting(port: int) -> None:
    deadline = time.monotonic() + 20
    while True:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
            return
        except ConnectionRefusedError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)


def scratch_database(system: System) -> str:
    """A database with the tables of both services that an order touches, made by their own migrations."""
    admin = system.urls["postgres"]
    subprocess.run([program("psql"), admin, "-q", "-c", "CREATE DATABASE bench"], check=True)
    url = admin.rpartition("/")[0] + "/bench"
    for service in ("catalog", "ordering"):
        env = {**os.environ, "DATABASE_URL": url}
        subprocess.run([sys.executable, "-m", f"services.{service}", "migrate"], cwd=ROOT, env=env, check=True)
    return url


def show(result: dict[str, Any]) -> None:
    out = sys.stdout.write
    out(f"\n{'':34}{'per second':>12}{'p99 ms':>10}{'errors':>8}\n")
    for name, values in result["rates"].items():
        rate = Rate(**values)
        out(f"{name:34}{rate.per_s:12.1f}{rate.p99_ms:10.1f}{rate.errors:8}\n")
    out("\n" + "".join(f"{name:34}{ratio:12.3f}\n" for name, ratio in result["ratios"].items()))
    out("\n" + "".join(f"{part:34}{mib:12.1f} MiB\n" for part, mib in sorted(result["memory_mib"].items())))
    out(f"{'all of it, idle':34}{result['memory_total_mib']:12.1f} MiB\n")
    starts = result["start_s"]
    out(f"\nfirst start {starts['first']:.1f} s, second start {starts['second']:.1f} s\nwritten to {RESULT}\n")


if __name__ == "__main__":
    main()
