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
from tests.bench.claims import measure_claims
from tests.bench.measure import (
    HERE,
    Rate,
    graphql_script,
    measure_requests,
    measure_statements,
    resident_mib,
    run_sql,
)
from tests.bench.orders import concerts_on_sale, make_concerts, measure_orders, measure_steady

ROOT = Path(__file__).parents[2]
RESULT = ROOT / ".ticketflow" / "bench.json"
SECONDS = int(os.environ.get("BENCH_SECONDS", "10"))
STEADY_S = int(os.environ.get("BENCH_STEADY_S", "30"))
WARM_S = 2
HOT_TICKETS = 20_000
BARE, BARE_AGAIN, GRAPHQL = "bare Quart route", "bare Quart route, again", "GraphQL concerts(first: 20)"
PAGE, BUY, PLACE_SPREAD = "concerts page", "place + pay", "place, over many concerts"
PLACE_HOT, SQL_PLACE, SQL_BUY = "place, one hot concert", "pgbench: SQL of place", "pgbench: SQL of place + pay"
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
    memory = {part: resident_mib(pid) for part, pid in running_parts(system).items()}
    rates = browsing(system, folder) | asyncio.run(ordering(system))
    scratch = scratch_database(system)
    rates |= statements(scratch, folder)
    claims = asyncio.run(measure_claims(scratch))
    small, huge = min(claims), max(claims)
    return {
        "rates": {name: dataclasses.asdict(rate) for name, rate in rates.items()},
        "ratios": ratios(rates) | {f"hold in {huge:,} : in {small:,}": claims[huge] / claims[small]},
        "hold_ms": claims,
        "memory_mib": memory,
        "memory_total_mib": sum(memory.values()),
    }


def browsing(system: System, folder: Path) -> dict[str, Rate]:
    gateway, script = system.urls["gateway"], graphql_script(folder, CONCERTS)
    with bare_route() as url:
        measure_requests(url, WARM_S)
        before = measure_requests(url, SECONDS)
        measure_requests(f"{gateway}/graphql", WARM_S, script=script)
        graphql = measure_requests(f"{gateway}/graphql", SECONDS, script=script)
        measure_requests(f"{gateway}/concerts", WARM_S)
        page = measure_requests(f"{gateway}/concerts", SECONDS)
        return {BARE: before, GRAPHQL: graphql, PAGE: page, BARE_AGAIN: measure_requests(url, SECONDS)}


async def ordering(system: System) -> dict[str, Rate]:
    demo, hot = await concerts_on_sale(system), await make_concerts(system, 1, HOT_TICKETS)
    steady = await measure_steady(system, demo, STEADY_S, orders_per_s=20, reads_per_s=150)
    return {
        BUY: await measure_orders(system, demo, SECONDS, pay=True),
        PLACE_SPREAD: await measure_orders(system, demo, SECONDS, pay=False),
        PLACE_HOT: await measure_orders(system, hot, SECONDS, pay=False),
        "20 orders/s, with": steady["orders"],
        "150 reads/s": steady["reads"],
    }


def statements(database_url: str, folder: Path) -> dict[str, Rate]:
    tiers = 50
    run_sql(database_url, HERE / "stock.sql", tiers=tiers)
    place, whole = HERE / "place.sql", folder / "buy.sql"
    whole.write_text(place.read_text() + (HERE / "pay.sql").read_text())
    return {
        SQL_PLACE: measure_statements(database_url, place, SECONDS, tiers=tiers),
        SQL_BUY: measure_statements(database_url, whole, SECONDS, tiers=tiers),
    }


def ratios(rates: dict[str, Rate]) -> dict[str, float]:
    bare = (rates[BARE].per_s + rates[BARE_AGAIN].per_s) / 2
    return {
        "GraphQL : bare route": rates[GRAPHQL].per_s / bare,
        "page : bare route": rates[PAGE].per_s / bare,
        "one hot concert : spread": rates[PLACE_HOT].per_s / rates[PLACE_SPREAD].per_s,
        "place : its SQL": rates[PLACE_SPREAD].per_s / rates[SQL_PLACE].per_s,
        "place + pay : its SQL": rates[BUY].per_s / rates[SQL_BUY].per_s,
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
        env = os.environ | {"DATABASE_URL": url}
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
