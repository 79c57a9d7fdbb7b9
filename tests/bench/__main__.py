"""`make bench`: speed beside a yardstick of the same run, memory, and start-up times; as a table and as JSON.

`python -m tests.bench steady telemetry` measures only those sections. Settings: BENCH_SECONDS of each measurement,
BENCH_STEADY_S and BENCH_TELEMETRY_S of the steady loads.
"""

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
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import uvloop

from services.apphost.ports import free_ports
from services.apphost.servers.postgres import program
from services.apphost.system import System, running_system
from tests.bench.claims import measure_claims
from tests.bench.hops import measure_hops
from tests.bench.measure import (
    HERE,
    Rate,
    graphql_script,
    measure_requests,
    measure_statements,
    resident_mib,
    run_sql,
    running_parts,
)
from tests.bench.orders import concerts_on_sale, make_concerts, measure_orders, measure_steady
from tests.bench.report import show
from tests.bench.telemetry import RECEIVER, compare_modes

ROOT = Path(__file__).parents[2]
RESULT = ROOT / ".ticketflow" / "bench.json"
ALONE = ("memory", "browsing", "hops", "orders", "steady", "statements")  # with telemetry off
SECTIONS = ("start", *ALONE, "telemetry")
SECONDS = int(os.environ.get("BENCH_SECONDS", "10"))
STEADY_S = int(os.environ.get("BENCH_STEADY_S", "120"))
TELEMETRY_S = int(os.environ.get("BENCH_TELEMETRY_S", "20"))
ORDERS_PER_S, READS_PER_S = 20, 150
WARM_S = 2
HOT_TICKETS = 5_000
BARE, BARE_AGAIN, GRAPHQL = "bare Quart route", "bare Quart route, again", "GraphQL concerts(first: 20)"
PAGE, BUY, PLACE_SPREAD = "concerts page", "place + pay", "place, over many concerts"
PLACE_HOT, SQL_PLACE, SQL_BUY = "place, one hot concert", "pgbench: SQL of place", "pgbench: SQL of place + pay"
RATIOS = {
    "GraphQL : bare route": (GRAPHQL, BARE),
    "page : bare route": (PAGE, BARE),
    "one hot concert : spread": (PLACE_HOT, PLACE_SPREAD),
    "place : its SQL": (PLACE_SPREAD, SQL_PLACE),
    "place + pay : its SQL": (BUY, SQL_BUY),
}
CONCERTS = (
    "{ concerts(first: 20) { totalCount nodes { id slug title artist startsAt venue { name city }"
    " priceFrom { amountMinor currency } available } } }"
)


def main() -> None:
    sections = sys.argv[1:] or SECTIONS
    if not set(sections) <= set(SECTIONS):
        sys.exit(f"usage: python -m tests.bench [{' | '.join(SECTIONS)}] …")
    result: dict[str, Any] = {"load_average": {"before": os.getloadavg()}}
    try:
        with tempfile.TemporaryDirectory(prefix="ticketflow-bench-") as folder:
            os.chmod(folder, 0o755)  # the servers run as users of their own
            measure(Path(folder), sections, result)
    finally:  # where one section fails, the others are still worth reading
        result["load_average"]["after"] = os.getloadavg()
        RESULT.parent.mkdir(exist_ok=True)
        RESULT.write_text(json.dumps(result, indent=2))
        show(result)
        sys.stdout.write(f"written to {RESULT}\n")


def measure(state: Path, sections: Sequence[str], result: dict[str, Any]) -> None:
    """Adds to `result` what the sections find."""
    if "start" in sections:
        result["start_s"] = {"first": start_s(state), "second": start_s(state)}
    if set(ALONE) & set(sections):
        with running_system(state / "system", without=[RECEIVER]) as system:
            result |= measure_running(system, state, sections)
    if "telemetry" in sections:
        modes = compare_modes(state / "system", TELEMETRY_S, orders_per_s=ORDERS_PER_S, reads_per_s=READS_PER_S)
        result["telemetry"] = {name: dataclasses.asdict(steady) for name, steady in modes.items()}


def start_s(state: Path) -> float:
    """Seconds until the whole system answers."""
    began = time.perf_counter()
    with running_system(state / "system"):
        return time.perf_counter() - began


def measure_running(system: System, folder: Path, sections: Sequence[str]) -> dict[str, Any]:
    """The sections that need a system, with telemetry off."""
    result: dict[str, Any] = {}
    rates: dict[str, Rate] = {}
    if "memory" in sections:
        result["memory_mib"] = {part: resident_mib(pid) for part, pid in running_parts(system).items()}
    if "browsing" in sections:
        rates |= browsing(system, folder)
    if "hops" in sections:
        result["hops_ms"] = uvloop.run(measure_hops(system))
    if "orders" in sections:
        rates |= uvloop.run(ordering(system))
    if "steady" in sections:
        load = measure_steady(system, STEADY_S, orders_per_s=ORDERS_PER_S, reads_per_s=READS_PER_S)
        result["steady"] = dataclasses.asdict(uvloop.run(load))
    if "statements" in sections:
        scratch = scratch_database(system)
        rates |= statements(scratch, folder)
        result["hold_ms"] = asyncio.run(measure_claims(scratch))
    result["rates"] = {name: dataclasses.asdict(rate) for name, rate in rates.items()}
    return result | {"ratios": ratios(rates) | hold_ratio(result.get("hold_ms", {}))}


def browsing(system: System, folder: Path) -> dict[str, Rate]:
    gateway, script = system.urls["gateway"], graphql_script(folder, CONCERTS)
    pids = running_parts(system)
    with bare_route() as (url, bare):
        measure_requests(url, WARM_S, bare)
        before = measure_requests(url, SECONDS, bare)
        measure_requests(f"{gateway}/graphql", WARM_S, pids, script=script)
        graphql = measure_requests(f"{gateway}/graphql", SECONDS, pids, script=script)
        measure_requests(f"{gateway}/concerts", WARM_S, pids)
        page = measure_requests(f"{gateway}/concerts", SECONDS, pids)
        return {BARE: before, GRAPHQL: graphql, PAGE: page, BARE_AGAIN: measure_requests(url, SECONDS, bare)}


async def ordering(system: System) -> dict[str, Rate]:
    demo, hot = await concerts_on_sale(system), await make_concerts(system, 1, HOT_TICKETS)
    return {
        BUY: await measure_orders(system, demo, SECONDS, pay=True),
        PLACE_SPREAD: await measure_orders(system, demo, SECONDS, pay=False),
        PLACE_HOT: await measure_orders(system, hot, SECONDS, pay=False),
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
    """Of what was measured; the bare route was, before the others and after."""
    per_s = {name: rate.per_s for name, rate in rates.items()}
    if BARE in per_s:
        per_s[BARE] = (per_s[BARE] + per_s[BARE_AGAIN]) / 2
    return {name: per_s[one] / per_s[other] for name, (one, other) in RATIOS.items() if {one, other} <= per_s.keys()}


def hold_ratio(held_ms: dict[int, float]) -> dict[str, float]:
    """How much longer it takes to hold tickets of the largest tier than of the smallest."""
    if not held_ms:
        return {}
    small, huge = min(held_ms), max(held_ms)
    return {f"hold in {huge:,} : in {small:,}": held_ms[huge] / held_ms[small]}


@contextlib.contextmanager
def bare_route() -> Iterator[tuple[str, dict[str, int]]]:
    """The yardstick's address, and its process by name."""
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "tests.bench.bare"]
    process = subprocess.Popen(command, cwd=ROOT, env={**os.environ, "PORT": str(port)})
    try:
        wait_until_accepting(port)
        yield f"http://127.0.0.1:{port}/", {"bare": process.pid}
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


if __name__ == "__main__":
    main()
