"""The measuring itself: requests by wrk, purchases by a client of our own, statements by pgbench, memory by /proc."""

from __future__ import annotations

import asyncio
import re
import secrets
import statistics
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.apphost.process import descendants
from services.apphost.servers.postgres import program
from services.apphost.system import System
from tests.integration.shop import Shop, open_shop

HERE = Path(__file__).parent
UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Rate:
    """`per_s` operations a second; `p99_ms` is the latency that one in a hundred exceeds."""

    per_s: float
    p99_ms: float
    errors: int = 0


def measure_requests(url: str, seconds: int, *, connections: int = 16, script: Path | None = None) -> Rate:
    """GETs of `url`, or what a wrk script sends, as fast as `connections` allow."""
    options = ["-t1", f"-c{connections}", f"-d{seconds}s", "--latency", *(["-s", str(script)] if script else [])]
    said = subprocess.run(["wrk", *options, url], capture_output=True, text=True, check=True).stdout
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    quantile = re.search(r"99%\s+([\d.]+)(us|ms|s|m)", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert quantile, said
    assert rate, said
    return Rate(float(rate[1]), float(quantile[1]) * UNITS_MS[quantile[2]], int(refused[1]) if refused else 0)


def graphql_script(folder: Path, query: str) -> Path:
    """A wrk script that posts `query`."""
    path = folder / "query.lua"
    body = query.replace("\\", "\\\\").replace('"', '\\"')
    path.write_text(
        f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = \'{{"query": "{body}"}}\'\n'
    )
    return path


async def measure_purchases(system: System, seconds: float, *, buyers: int = 8) -> Rate:
    """Orders placed and paid by so many buyers at once, spread over the concerts on sale."""
    latencies: list[float] = []
    errors: list[Any] = []
    until = time.perf_counter() + seconds
    async with open_shop(system.urls["gateway"]) as stranger:
        concerts = await concerts_on_sale(stranger)
    began = time.perf_counter()
    await asyncio.gather(*(_buy_until(system, concerts, until, latencies, errors) for _ in range(buyers)))
    took = time.perf_counter() - began
    p99 = statistics.quantiles(latencies, n=100)[-1] if len(latencies) > 1 else float("nan")
    return Rate(len(latencies) / took, p99 * 1000, len(errors))


async def concerts_on_sale(shop: Shop) -> list[dict[str, Any]]:
    query = "{ concerts(first: 100, filter: { availableOnly: true }) { nodes { id tiers { id available } } } }"
    concerts: list[dict[str, Any]] = (await shop.data(query))["concerts"]["nodes"]
    for concert in concerts:
        concert["tiers"].sort(key=lambda tier: -int(tier["available"]))
    return [concert for concert in concerts if concert["tiers"][0]["available"] > 200]


async def _buy_until(
    system: System, concerts: Sequence[dict[str, Any]], until: float, latencies: list[float], errors: list[Any]
) -> None:
    async with open_shop(system.urls["gateway"]) as shop:
        await shop.register()
        while time.perf_counter() < until:
            concert = concerts[secrets.randbelow(len(concerts))]
            began = time.perf_counter()
            try:
                order = await shop.place(concert, quantity=2)
                answer = await shop.pay(order["id"])
                assert answer["data"]["payOrder"]["status"] == "CONFIRMED", answer
            except AssertionError as error:
                errors.append(error)
            else:
                latencies.append(time.perf_counter() - began)


def measure_statements(database_url: str, seconds: int, *, clients: int = 8, tiers: int = 50) -> Rate:
    """The statements of one order by pgbench, on tables that the services' own migrations made."""
    variable = ["-v", f"tiers={tiers}"]
    subprocess.run([program("psql"), database_url, "-q", *variable, "-f", str(HERE / "stock.sql")], check=True)
    options = [
        "-n",
        "-M",
        "prepared",
        "-c",
        str(clients),
        "-T",
        str(seconds),
        "-D",
        f"tiers={tiers}",
        "-f",
        str(HERE / "order.sql"),
    ]
    said = subprocess.run([program("pgbench"), *options, database_url], capture_output=True, text=True, check=True)
    rate = re.search(r"tps = ([\d.]+)", said.stdout)
    assert rate, said
    return Rate(float(rate[1]), float("nan"))


def resident_mib(pid: int) -> float:
    """What a process and its descendants hold, each shared page counted once (proportional set size), in MiB."""
    total_kib = 0
    for each in [pid, *descendants(pid)]:
        rollup = Path(f"/proc/{each}/smaps_rollup")
        try:
            total_kib += next(
                int(line.split()[1]) for line in rollup.read_text().splitlines() if line.startswith("Pss:")
            )
        except (FileNotFoundError, ProcessLookupError, StopIteration):
            continue  # it ended in the meantime
    return total_kib / 1024
