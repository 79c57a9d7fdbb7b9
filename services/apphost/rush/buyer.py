"""One buyer's story: look, order, think, pay; or be refused, change one's mind, and come back."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any, Final

from services.apphost.rush.gateway import Answer, Gateway
from services.apphost.rush.plan import Plan, waits_s
from services.apphost.rush.stage import Concert

LOOK: Final = "query($slug: String!) { concert(slug: $slug) { id available tiers { id available } } }"
ORDER: Final = "id status createdAt expiresAt tickets { id code }"
PLACE: Final = f"mutation($input: PlaceOrderInput!) {{ placeOrder(input: $input) {{ {ORDER} }} }}"
PAY: Final = f"mutation($input: PayOrderInput!) {{ payOrder(input: $input) {{ {ORDER} }} }}"
CANCEL: Final = f"mutation($id: ID!) {{ cancelOrder(id: $id) {{ {ORDER} }} }}"
SHORT_HOLD_S: Final = 60.0  # one may walk away from a hold that lapses so soon, and leave the tickets to the others
SECOND_THOUGHTS_S: Final = (3.0, 10.0)


class Outcome(StrEnum):
    """How a visit ended."""

    BOUGHT = "bought"
    SOLD_OUT = "sold out"
    ABANDONED = "abandoned"
    DECLINED = "declined"
    TOO_LATE = "too late to pay"  # the hold had lapsed; any money went back
    FAILED = "failed"


@dataclass
class Memory:
    """What the shop told the crowd. ``faults`` are what no shop may do; ``failures`` are buyers it kept waiting."""

    orders: dict[str, str] = field(default_factory=dict)  # id to status
    owners: dict[str, str] = field(default_factory=dict)  # id of a sold ticket to its order's
    faults: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def note(self, order: Mapping[str, Any]) -> None:
        """Keeps an answer about an order."""
        self.orders[order["id"]] = order["status"]
        for ticket in order["tickets"] if order["status"] == "CONFIRMED" else ():
            owner = self.owners.setdefault(ticket["id"], order["id"])
            if owner != order["id"]:
                self.faults.append(f"ticket {ticket['id']} was sold to the orders {owner} and {order['id']}")


@dataclass(frozen=True, kw_only=True)
class Sale:
    """What all buyers share. ``gone`` is set once every ticket is sold."""

    concert: Concert
    gateway: Gateway
    memory: Memory
    gone: asyncio.Event
    seed: str  # of idempotency keys, so that no two rushes share one


class Buyer:
    """``token`` is of the account that this buyer uses."""

    def __init__(self, plan: Plan, token: str, sale: Sale) -> None:
        self._plan = plan
        self._token = token
        self._sale = sale
        self._chance = random.Random(f"{sale.seed}:{plan.number}")  # noqa: S311 - a simulation, repeatable by its seed

    async def visit(self) -> Outcome:
        """From the arrival to whatever end."""
        plan, sale = self._plan, self._sale
        await asyncio.sleep(plan.arrives_s)
        await sale.gateway.ask("look", LOOK, {"slug": sale.concert.slug}, self._token)
        await asyncio.sleep(plan.thinks_s[0])
        placed = await self._get_tickets()
        if placed.code:
            return Outcome.SOLD_OUT if placed.code == "SOLD_OUT" else self._fail("placing", placed)
        order = placed.data
        sale.memory.note(order)
        if plan.abandons:
            return await self._abandon(order)
        await asyncio.sleep(plan.thinks_s[1])
        return await self._pay(order)

    async def _get_tickets(self) -> Answer:
        """The first order that comes off; the stubborn try again until everything is sold."""
        quantity, waits = self._plan.quantity, waits_s(self._chance)
        for attempt, wait_s in enumerate(waits):
            answer = await self._place(quantity, attempt)
            if answer.code != "SOLD_OUT":
                break
            if quantity > 1:
                quantity = 1  # better one than none
                continue
            if not self._plan.stubborn or await self._is_over(wait_s):
                break
        return answer

    async def _is_over(self, wait_s: float) -> bool:
        """Whether everything was sold within so many seconds."""
        try:
            await asyncio.wait_for(self._sale.gone.wait(), wait_s)
        except TimeoutError:
            return False
        return True

    async def _place(self, quantity: int, attempt: int) -> Answer:
        concert = self._sale.concert
        wish = {
            "concertId": concert.id,
            "lines": [{"tierId": concert.tier_id, "quantity": quantity}],
            "idempotencyKey": self._key(f"place-{attempt}"),
        }
        clicks = [self._mutate("place", PLACE, {"input": wish}) for _ in range(1 + self._plan.double_clicks)]
        answers = await asyncio.gather(*clicks)
        orders = {answer.data["id"] for answer in answers if not answer.code}
        if len(orders) > 1:
            self._sale.memory.faults.append(f"one click with one key made the orders {', '.join(sorted(orders))}")
        return next((answer for answer in answers if not answer.code), answers[0])

    async def _pay(self, order: Mapping[str, Any]) -> Outcome:
        for attempt, card in enumerate(self._plan.cards):
            answer = await self._pay_with(card, order["id"], attempt)
            if not answer.code:
                self._sale.memory.note(answer.data)
                return Outcome.BOUGHT
            if answer.code in {"SOLD_OUT", "CONFLICT"}:
                return Outcome.TOO_LATE
            if answer.code != "PAYMENT_DECLINED":
                return self._fail("paying", answer)
        return await self._give_back(order["id"], Outcome.DECLINED)

    async def _pay_with(self, card: str, order_id: str, attempt: int) -> Answer:
        wish = {
            "orderId": order_id,
            "card": {"number": card, "expiry": "12/40", "cvc": "123"},
            "idempotencyKey": self._key(f"pay-{attempt}"),
        }
        clicks = [self._mutate("pay", PAY, {"input": wish}) for _ in range(1 + self._plan.double_clicks)]
        answers = await asyncio.gather(*clicks)
        return next((answer for answer in answers if not answer.code), answers[0])

    async def _abandon(self, order: Mapping[str, Any]) -> Outcome:
        """Walks away; from a long hold only after a while and with a word, or the tickets would outlast the rush."""
        held = datetime.fromisoformat(order["expiresAt"]) - datetime.fromisoformat(order["createdAt"])
        if held.total_seconds() <= SHORT_HOLD_S:
            return Outcome.ABANDONED
        await asyncio.sleep(self._chance.uniform(*SECOND_THOUGHTS_S))
        return await self._give_back(order["id"], Outcome.ABANDONED)

    async def _give_back(self, order_id: str, outcome: Outcome) -> Outcome:
        answer = await self._mutate("cancel", CANCEL, {"id": order_id})
        if answer.code:
            return self._fail("cancelling", answer)
        self._sale.memory.note(answer.data)
        return outcome

    async def _mutate(self, kind: str, query: str, variables: Mapping[str, Any]) -> Answer:
        return await self._sale.gateway.insist(kind, query, variables, self._token, self._chance)

    def _key(self, what: str) -> str:
        return f"rush-{self._sale.seed}-{self._plan.number}-{what}"

    def _fail(self, what: str, answer: Answer) -> Outcome:
        self._sale.memory.failures.append(f"buyer {self._plan.number} gave up {what}: {answer.code}")
        return Outcome.FAILED
