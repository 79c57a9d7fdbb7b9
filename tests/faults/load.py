"""Buyers at work while something breaks: each places, then pays, cancels or walks away, and insists on an answer."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from services.apphost.rush.buyer import CANCEL, PAY, PLACE
from services.apphost.rush.gateway import PASSING, Answer, Gateway, open_door
from services.apphost.rush.stage import Concert
from tests.faults.desk import Desk, holds_within
from tests.faults.till import DECLINED, GOOD

WORKERS = 4
PAUSE_S = 0.1  # between two wishes of a buyer: a small load, that leaves the machine to what is tested
REFUSALS = frozenset({"PAYMENT_DECLINED", "CONFLICT", "SOLD_OUT"})  # "too late" and the like: answers all the same


@dataclass
class Load:
    """`failures` are the wishes that were not granted, nor refused for a reason. `done` counts the others."""

    gateway: Gateway
    done: int = 0
    failures: list[str] = field(default_factory=list)

    @property
    def turned_away(self) -> list[str]:
        """The requests that had to be made again; a buyer who insists may have been served all the same."""
        return [f"{sample.kind}: {sample.code}" for sample in self.gateway.samples if sample.code in PASSING]

    async def goes_on(self, wishes: int = 3, within_s: float = 30.0) -> None:
        """Returns once so many more wishes were granted. Fails when it takes too long."""
        target = self.done + wishes

        async def is_served() -> bool:
            return self.done >= target

        await holds_within(is_served, within_s, f"{wishes} more wishes are granted; {self.failures}")

    async def meets_trouble(self, within_s: float = 30.0) -> None:
        """Returns once a request had to be made again."""

        async def is_turned_away() -> bool:
            return bool(self.turned_away)

        await holds_within(is_turned_away, within_s, "a request is turned away")


def new_seed() -> int:
    """Printed, so that a failure can be run again with FAULTS_SEED."""
    seed = int(os.environ.get("FAULTS_SEED") or secrets.randbelow(10**6))
    print(f"FAULTS_SEED={seed}")  # noqa: T201 - pytest shows it with a failure
    return seed


@asynccontextmanager
async def under_load(desk: Desk, seed: int) -> AsyncIterator[Load]:
    """Inside the block buyers are at it; at its end they finish what they have begun."""
    stop = asyncio.Event()
    concert = await desk.publish(2000)
    async with open_door(desk.system.urls["gateway"]) as send:
        load = Load(Gateway(send, asyncio.get_running_loop().time, at_once=WORKERS))
        workers = [_Worker(desk, load, concert, f"{seed}-{number}") for number in range(WORKERS)]
        tasks = [asyncio.create_task(worker.run(stop)) for worker in workers]
        try:
            await load.goes_on()
            yield load
        finally:
            stop.set()
            await asyncio.gather(*tasks)
            # A buyer may come again after it; it is a fault all the same.
            load.failures += [refusal for refusal in load.turned_away if refusal.endswith("INTERNAL")]


class _Worker:
    def __init__(self, desk: Desk, load: Load, concert: Concert, seed: str) -> None:
        self._desk = desk
        self._load = load
        self._concert = concert
        self._chance = random.Random(seed)

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            await self._wish()
            await asyncio.sleep(PAUSE_S)

    async def _wish(self) -> None:
        line = {"tierId": self._concert.tier_id, "quantity": self._chance.choice((1, 1, 2))}
        wish = {"concertId": self._concert.id, "lines": [line], "idempotencyKey": secrets.token_hex(8)}
        placed = await self._ask("place", PLACE, {"input": wish})
        match self._chance.choice(("pay", "pay", "pay", "decline", "cancel", "leave")):
            case "pay":
                await self._pay(placed, GOOD)
            case "decline":
                await self._pay(placed, DECLINED)
            case "cancel":
                await self._cancel(placed)

    async def _pay(self, placed: Answer, card: str) -> None:
        if placed.data:
            card_data = {"number": card, "expiry": "12/40", "cvc": "123"}
            wish = {"orderId": placed.data["id"], "card": card_data, "idempotencyKey": secrets.token_hex(8)}
            await self._ask("pay", PAY, {"input": wish})

    async def _cancel(self, placed: Answer) -> None:
        if placed.data:
            await self._ask("cancel", CANCEL, {"id": placed.data["id"]})

    async def _ask(self, kind: str, query: str, variables: dict[str, object]) -> Answer:
        answer = await self._load.gateway.insist(kind, query, variables, self._desk.buyer.token, self._chance)
        if answer.data:
            self._desk.told[answer.data["id"]] = answer.data["status"]
        if answer.code and answer.code not in REFUSALS:
            self._load.failures.append(f"{kind}: {answer.code}")
        else:
            self._load.done += 1
        return answer
