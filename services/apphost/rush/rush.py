"""All of a rush in its order: publish, open accounts, let the crowd in, sum up, draw, and close the books."""

from __future__ import annotations

import asyncio
import random
import secrets
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from services.apphost.audit.ledger import audit
from services.apphost.audit.report import Report
from services.apphost.rush.buyer import Buyer, Memory, Outcome, Sale
from services.apphost.rush.chaos import Chaos, Outage, find_victims
from services.apphost.rush.gateway import Gateway, Sample, open_door
from services.apphost.rush.plan import Plan, make_crowd
from services.apphost.rush.progress import Progress
from services.apphost.rush.stage import Level, Watch, open_accounts, publish_concert
from services.apphost.sockets import control_file

ACCOUNTS: Final = 60
REQUESTS_AT_ONCE: Final = 64
SETTLE_S: Final = 180.0  # hundreds of mails with their tickets take a while to draw


@dataclass(frozen=True, kw_only=True)
class Wish:
    """What sort of rush; ``chaos``: with parts that are killed in its middle."""

    buyers: int
    tickets: int
    seed: int
    chaos: bool = False


@dataclass(frozen=True, kw_only=True)
class Result:
    """What came of it. ``samples`` are the crowd's requests, ``levels`` the tickets over time.

    ``mishaps`` are what went wrong with the parts that were to be killed and to come back.
    """

    outcomes: Counter[Outcome]
    memory: Memory
    samples: Sequence[Sample]
    levels: Sequence[Level]
    lasted_s: float
    report: Report
    outages: Sequence[Outage] = ()
    mishaps: Sequence[str] = ()

    @property
    def faults(self) -> list[str]:
        """What must not be: more tickets sold than there are, or others than the buyers have; double orders."""
        last = self.levels[-1]
        found = [*self.memory.faults, *self.mishaps]
        if last.sold > last.tickets:
            found.append(f"{last.sold} of {last.tickets} tickets were sold")
        if len(self.memory.owners) > last.sold:
            found.append(f"buyers were given {len(self.memory.owners)} tickets, and {last.sold} were sold")
        return found

    @property
    def is_good(self) -> bool:
        return not self.faults and self.report.closes


async def rush(state: Path, urls: Mapping[str, str], wish: Wish, progress: Progress) -> Result:
    """Raises ApphostError where the concert or the accounts cannot be made, or the books not be read."""
    chance = random.Random(wish.seed)  # noqa: S311 - a simulation, repeatable by its seed
    accounts = min(ACCOUNTS, wish.buyers)
    crowd = make_crowd(chance, buyers=wish.buyers, tickets=wish.tickets, accounts=accounts)
    victims = await find_victims(control_file(state)) if wish.chaos else []
    name = f"{wish.seed}-{secrets.token_hex(3)}"
    progress.note(f"seed {wish.seed}: {wish.buyers} buyers, {wish.tickets} tickets")
    concert = await publish_concert(urls["catalog_database"], wish.tickets, name)
    began = time.monotonic()

    def clock() -> float:
        return time.monotonic() - began

    async with open_door(urls["gateway"]) as send:
        gateway = Gateway(send, clock, at_once=REQUESTS_AT_ONCE)
        progress.note(f"opening {accounts} accounts, each of which several buyers use: hashing passwords is slow")
        tokens = await open_accounts(gateway, accounts, name)
        gateway.samples.clear()
        began = time.monotonic()
        watch = Watch(urls["catalog_database"], concert, clock)
        sale = Sale(concert=concert, gateway=gateway, memory=Memory(), gone=watch.gone, seed=name)
        chaos = Chaos(control_file(state), victims, clock, progress)
        outcomes = await _let_in(crowd, tokens, sale, watch=watch, progress=progress, chaos=chaos)
        lasted_s = clock()
    await watch.look()
    progress.note("closing the books")
    report = await audit(state, settle_s=SETTLE_S, acknowledged=sale.memory.orders)
    return Result(
        outcomes=outcomes,
        memory=sale.memory,
        samples=gateway.samples,
        levels=watch.levels,
        lasted_s=lasted_s,
        report=report,
        outages=chaos.outages,
        mishaps=chaos.faults,
    )


async def _let_in(
    crowd: Sequence[Plan], tokens: Sequence[str], sale: Sale, *, watch: Watch, progress: Progress, chaos: Chaos
) -> Counter[Outcome]:
    """Lets all buyers visit; how their visits ended. Returns when what was killed meanwhile is back, too."""
    outcomes: Counter[Outcome] = Counter()

    async def visit(plan: Plan) -> None:
        outcomes[await Buyer(plan, tokens[plan.account], sale).visit()] += 1

    striking = asyncio.create_task(chaos.run(watch.half_gone))
    beside = [
        asyncio.create_task(watch.run()),
        asyncio.create_task(progress.run(watch.levels, sale.gateway.samples, outcomes, len(crowd), chaos)),
        striking,
    ]
    try:
        async with asyncio.TaskGroup() as group:
            for plan in crowd:
                group.create_task(visit(plan))
        if chaos.outages or watch.half_gone.is_set():
            await striking
    finally:
        for task in beside:
            task.cancel()
        await asyncio.wait(beside)
    return outcomes
