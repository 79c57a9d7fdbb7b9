"""The verbs that look at a running system, or make it sweat: ``audit`` and ``rush``."""

import asyncio
import contextlib
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

from services.apphost.audit.ledger import audit
from services.apphost.running import find_running
from services.apphost.rush.plot import draw
from services.apphost.rush.progress import Progress
from services.apphost.rush.rush import Result, Wish, rush
from services.apphost.rush.tally import slices, summarise
from services.apphost.system import running_system
from services.apphost.topology import DASHBOARD

OWN_SHOP = "rush"  # in the state folder: the data of a shop that a rush has started for itself
SHORT_HOLD_S = "30"  # there, so that abandoned tickets come back during the rush
SLICES = 60  # in the picture, about


def run_audit(state: Path, settle_s: float) -> int:
    """0 when the books close, else 1. Raises ApphostError when they cannot be read."""
    report = asyncio.run(audit(state, settle_s=settle_s))
    print(report.render())
    return 0 if report.closes else 1


def run_rush(state: Path, wish: Wish) -> int:
    """0 when all went well, else 1. Raises ApphostError when there is no shop to storm."""
    progress = Progress(sys.stdout, terminal=sys.stdout.isatty())
    with _shop(state, progress, instances=2 if wish.chaos else 1) as (folder, urls):
        result = asyncio.run(rush(folder, urls, wish, progress))
    picture = state / "rush.svg"
    picture.write_text(_draw(wish, result), encoding="utf-8")
    _show(result, picture)
    return 0 if result.is_good else 1


@contextlib.contextmanager
def _shop(state: Path, progress: Progress, *, instances: int) -> Iterator[tuple[Path, Mapping[str, str]]]:
    """The system that runs from the folder, or else one of its own."""
    if facts := find_running(state):
        yield state, facts["urls"]
        return
    progress.note("no shop runs here: starting one of its own, which takes some seconds")
    state.mkdir(parents=True, exist_ok=True)
    env = {"ORDERING_HOLD_TTL_S": SHORT_HOLD_S}
    # Without the dashboard: the rush would measure its work too.
    with running_system(state / OWN_SHOP, env=env, without=(DASHBOARD,), instances=instances) as system:
        yield system.state, system.urls


def _draw(wish: Wish, result: Result) -> str:
    length_s = max(1.0, round(result.lasted_s / SLICES))
    last = result.levels[-1]
    title = f"{wish.buyers} buyers, {wish.tickets} tickets, {last.sold} sold"
    return draw(title, f"seed {wish.seed}", slices(result.samples, length_s), result.levels, result.outages)


def _show(result: Result, picture: Path) -> None:
    last, lasted_s = result.levels[-1], result.lasted_s
    rows = summarise(result.outcomes, result.samples, last, lasted_s=lasted_s, outages=result.outages)
    width = max(len(label) for label, _ in rows)
    lines = [f"  {label:<{width}}  {value}" for label, value in rows]
    lines += [f"  NOT RIGHT: {fault}" for fault in result.faults]
    lines += [f"  failed: {failure}" for failure in result.memory.failures[:10]]
    print("\n".join(["", *lines, "", f"The picture: {picture}", "", "The ledger:", result.report.render()]))
