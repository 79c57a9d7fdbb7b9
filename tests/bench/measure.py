"""The measuring itself: requests by wrk, statements by pgbench, memory by /proc."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from services.apphost.process import descendants
from services.apphost.servers.postgres import program
from services.apphost.state import RUNNING
from services.apphost.system import System
from tests.bench.cpu import CpuMeter

HERE = Path(__file__).parent
UNITS_MS = {"us": 0.001, "ms": 1.0, "s": 1000.0, "m": 60_000.0}


@dataclass(frozen=True)
class Rate:
    """`per_s` operations a second; `p99_ms` is the latency that one in a hundred exceeds.

    `cpu_ms` is the processor time that each process spent for one operation.
    """

    per_s: float
    p99_ms: float
    errors: int = 0
    cpu_ms: dict[str, float] = field(default_factory=dict)


def measure_requests(url: str, seconds: int, pids: Mapping[str, int], *, script: Path | None = None) -> Rate:
    """GETs of `url`, or what a wrk script sends, as fast as sixteen connections allow; `pids` serve them."""
    options = ["-t1", "-c16", f"-d{seconds}s", "--latency", *(["-s", str(script)] if script else [])]
    meter = CpuMeter(pids)
    said = _run(["wrk", *options, url])
    cpu_ms = meter.per_operation_ms(int(found[1]) if (found := re.search(r"(\d+) requests in", said)) else 0)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", said)
    quantile = re.search(r"99%\s+([\d.]+)(us|ms|s|m)", said)
    rate = re.search(r"Requests/sec:\s+([\d.]+)", said)
    assert quantile, said
    assert rate, said
    return Rate(float(rate[1]), float(quantile[1]) * UNITS_MS[quantile[2]], int(refused[1]) if refused else 0, cpu_ms)


def graphql_script(folder: Path, query: str) -> Path:
    """A wrk script that posts `query`."""
    path = folder / "query.lua"
    body = query.replace("\\", "\\\\").replace('"', '\\"')
    path.write_text(
        f'wrk.method = "POST"\nwrk.headers["Content-Type"] = "application/json"\nwrk.body = \'{{"query": "{body}"}}\'\n'
    )
    return path


def run_sql(database_url: str, script: Path, **variables: object) -> None:
    """Runs a script by psql, with its variables set."""
    options = [word for name, value in variables.items() for word in ("-v", f"{name}={value}")]
    command = [program("psql"), database_url, "-q", "-v", "ON_ERROR_STOP=1", *options, "-f", str(script)]
    subprocess.run(command, check=True)


def measure_statements(database_url: str, script: Path, seconds: int, *, tiers: int, clients: int = 8) -> Rate:
    """What pgbench reaches with a script, spread over so many tiers."""
    options = ["-n", "-M", "prepared", "-c", str(clients), "-T", str(seconds), "-D", f"tiers={tiers}"]
    said = _run([program("pgbench"), *options, "-f", str(script), database_url])
    rate = re.search(r"tps = ([\d.]+)", said)
    assert rate, said
    return Rate(float(rate[1]), float("nan"))


def _run(command: list[str]) -> str:
    """What the command prints. It is shown first, but for its last word: where to, which may hold a password."""
    sys.stdout.write(f"$ {' '.join(command[:-1])} …\n")
    sys.stdout.flush()
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def running_parts(system: System) -> dict[str, int]:
    """The processes by part."""
    pids: dict[str, int] = json.loads((system.state / RUNNING).read_text())["pids"]
    return pids


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
