"""Who comes when, and how they behave. The same seed gives the same crowd; the shop decides what becomes of it."""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

# Of the sandbox (any other number is declined): what a buyer pays with, and how often.
GOOD: Final = "4242424242424242"
DECLINED: Final = "4000000000000002"
NO_MONEY: Final = "4000000000009995"
LATE: Final = "4000000000000341"  # the provider does not answer in time, and the charge succeeds later
TWICE: Final = "4000000000000259"  # the provider answers twice
CARDS: Final[Mapping[str, int]] = {GOOD: 84, DECLINED: 8, NO_MONEY: 4, LATE: 2, TWICE: 2}
REFUSED: Final = frozenset({DECLINED, NO_MONEY})

AT_THE_DOOR: Final = 0.5  # of the buyers have waited for the minute; the others trickle in
DOOR_S: Final = 2.0
TRICKLE_S: Final = 6.0  # the mean
LATEST_S: Final = 30.0
DOUBLE_CLICKS: Final = 0.1
ABANDONS: Final = 0.08
GIVES_UP: Final = 0.3  # of those whose card was declined
STUBBORN_AT_LEAST: Final = 20
PATIENCE_S: Final = 120.0  # of the stubborn


@dataclass(frozen=True)
class Plan:
    """One buyer. Times are in seconds; ``cards`` are tried one after the other."""

    number: int
    account: int
    arrives_s: float
    quantity: int
    thinks_s: tuple[float, float]  # before ordering, and before paying
    double_clicks: bool
    abandons: bool
    cards: tuple[str, ...]
    stubborn: bool  # told "sold out", comes back for what others leave


def make_crowd(chance: random.Random, *, buyers: int, tickets: int, accounts: int) -> list[Plan]:
    """Enough of them are stubborn for what was abandoned to be bought after all."""
    stubborn = min(1.0, max(STUBBORN_AT_LEAST, tickets / 4) / buyers)
    return [_plan(chance, number, number % accounts, stubborn) for number in range(buyers)]


def waits_s(chance: random.Random) -> Iterator[float]:
    """How long a stubborn buyer waits before each further try, until patience ends."""
    longest_s = 4.0
    left_s = PATIENCE_S
    while left_s > 0:
        wait_s = chance.uniform(longest_s / 2, longest_s)
        yield wait_s
        left_s -= wait_s
        longest_s = min(longest_s * 1.5, 12.0)


def _plan(chance: random.Random, number: int, account: int, stubborn: float) -> Plan:
    return Plan(
        number=number,
        account=account,
        arrives_s=_arrival_s(chance),
        quantity=chance.choices((1, 2, 3, 4), (40, 45, 5, 10))[0],
        thinks_s=(chance.uniform(0.1, 1.0), chance.lognormvariate(0.7, 0.5)),
        double_clicks=chance.random() < DOUBLE_CLICKS,
        abandons=chance.random() < ABANDONS,
        cards=tuple(_cards(chance)),
        stubborn=chance.random() < stubborn,
    )


def _arrival_s(chance: random.Random) -> float:
    if chance.random() < AT_THE_DOOR:
        return chance.uniform(0, DOOR_S)
    return min(DOOR_S + chance.expovariate(1 / TRICKLE_S), LATEST_S)


def _cards(chance: random.Random) -> Sequence[str]:
    first = chance.choices(tuple(CARDS), tuple(CARDS.values()))[0]
    if first not in REFUSED or chance.random() < GIVES_UP:
        return [first]
    return [first, GOOD]
