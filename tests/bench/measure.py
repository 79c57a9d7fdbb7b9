"""The measuring itself: requests by wrk, statements by pgbench, memory by /proc."""

from __future__ import annotations

import re
import subprocess
from dataclasses import dataclass
from pathlib import Path

from services.apphost.process import descendants
from services.apphost.servers.postgres import program

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


def run_sql(database_url: str, script: Path, **variables: object) -> None:
    """Runs a script by psql, with its variables set."""
    options = [word for name, value in variables.items() for word in ("-v", f"{name}={value}")]
    command = [program("psql"), database_url, "-q", "-v", "ON_ERROR_STOP=1", *options, "-f", str(script)]
    subprocess.run(command, check=True)


def measure_statements(database_url: str, script: Path, seconds: int, *, tiers: int, clients: int = 8) -> Rate:
    """What pgbench reaches with a script, spread over so many tiers."""
    options = ["-n", "-M", "prepared", "-c", str(clients), "-T", str(seconds), "-D", f"tiers={tiers}"]
    command = [program("pgbench"), *options, "-f", str(script), database_url]
    said = subprocess.run(command, capture_output=True, text=True, check=True)
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
