"""The measurements as a table in the terminal."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from typing import Any

from tests.bench.cpu import GENERATOR

Table = Mapping[str, Any]


def show(result: Table) -> None:
    before, after = (result["load_average"][when][0] for when in ("before", "after"))
    _write(f"\n{os.cpu_count()} cores, load average {before:.1f} before, {after:.1f} after")
    rates = result.get("rates", {})
    _show_rates(rates)
    _show_processor_time(rates)
    for name, ratio in result.get("ratios", {}).items():
        _write(f"{name:34}{ratio:12.3f}")
    if "hops_ms" in result:
        _show_hops(result["hops_ms"])
    if "steady" in result:
        _show_steady({"steady load": result["steady"]})
    if "telemetry" in result:
        _show_steady({f"telemetry: {mode}": steady for mode, steady in result["telemetry"].items()})
    _show_sizes(result)


def _show_rates(rates: Table) -> None:
    if rates:
        _write(f"\n{'':34}{'per second':>12}{'p99 ms':>10}{'errors':>8}{'CPU ms each':>13}{'generator':>11}")
    for name, rate in rates.items():
        _write(f"{_rate_line(name, rate)}{_served(rate['cpu_ms']):13.2f}{rate['cpu_ms'].get(GENERATOR, 0):11.2f}")


def _show_processor_time(rates: Table) -> None:
    """Of those operations that more than one process works on."""
    for name, rate in rates.items():
        shares = {part: ms for part, ms in rate["cpu_ms"].items() if ms >= 0.05 and part != GENERATOR}
        if len(shares) > 1:
            _write(f"\n{name}: CPU ms each")
            _write("  " + _by_size(shares))
    _write("")


def _show_hops(hops_ms: Table) -> None:
    """Each hop's time, and how much of it is its own: what the next one inside does not take."""
    _write(f"\n{'one order, entering at':34}{'median ms':>12}{'its own':>10}")
    inside = (*list(hops_ms.values())[1:], 0.0)
    for (hop, taken_ms), deeper_ms in zip(hops_ms.items(), inside, strict=True):
        _write(f"{hop:34}{taken_ms:12.1f}{taken_ms - deeper_ms:10.1f}")


def _show_steady(loads: Table) -> None:
    for name, load in loads.items():
        cores = {part: share for part, share in load["cores"].items() if share >= 0.005}
        _write(f"\n{name}\n{_rate_line('  orders', load['orders'])}\n{_rate_line('  reads', load['reads'])}")
        _write(f"  cores: {_by_size(cores)}; together {sum(load['cores'].values()):.2f}")


def _show_sizes(result: Table) -> None:
    _write("")
    for size, held_ms in result.get("hold_ms", {}).items():
        _write(f"{f'hold of two among {size:,}':34}{held_ms:12.2f} ms")
    memory = result.get("memory_mib", {})
    for part, mib in sorted(memory.items()):
        _write(f"{part:34}{mib:12.1f} MiB")
    if memory:
        _write(f"{'all of it, idle':34}{sum(memory.values()):12.1f} MiB")
    if starts := result.get("start_s"):
        _write(f"first start {starts['first']:.1f} s, second start {starts['second']:.1f} s")


def _rate_line(name: str, rate: Table) -> str:
    return f"{name:34}{rate['per_s']:12.1f}{rate['p99_ms']:10.1f}{rate['errors']:8}"


def _served(cpu_ms: Mapping[str, float]) -> float:
    return sum(ms for part, ms in cpu_ms.items() if part != GENERATOR)


def _by_size(shares: Mapping[str, float]) -> str:
    return ", ".join(f"{part} {share:.2f}" for part, share in sorted(shares.items(), key=lambda each: -each[1]))


def _write(line: str) -> None:
    sys.stdout.write(line + "\n")
