"""Demo data: the concerts of `seed_data/`, dated from the day of the seeding.

Ids derive from names and never from dates, so that seeding again, on whatever day, changes nothing.
"""

from __future__ import annotations

import random
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import Any, Final
from uuid import NAMESPACE_DNS, UUID, uuid5
from zoneinfo import ZoneInfo

from services.catalog.domain import CODE_BYTES, ticket_code
from services.catalog.store.stock import NewConcert, NewTicket, NewTier, NewVenue, Stock

NAMESPACE: Final = uuid5(NAMESPACE_DNS, "ticketflow.test")
DATA: Final = Path(__file__).with_name("seed_data")
WEEKDAYS: Final = ("Mon", "Tue", "Wed", "Thu", "Fri", "Sat", "Sun")
SALE_BEGINS: Final = time(10, 0)
MINOR_UNITS: Final = 100  # in a unit of each currency below
# Euros a unit, roughly: prices in different currencies have to be sorted somehow.
EURO_RATES: Final = {"EUR": 1.0, "GBP": 1.15, "CHF": 1.05, "SEK": 0.09, "DKK": 0.134, "PLN": 0.235}

Entry = Mapping[str, Any]  # one table of a seed file; the files' own heads say what is in it


async def seed(stock: Stock, *, now: datetime, entropy: Callable[[int], bytes]) -> int:
    """Adds the demo concerts that are not there; how many that were.

    `entropy(n)` gives n random bytes: the codes of sold tickets are real ones, which nobody can guess.
    """
    entries = {entry["key"]: entry for entry in _load("venues")["venue"]}
    await stock.add_venues([_venue(entry) for entry in entries.values()])
    concerts = {seeded_id("concert", entry["slug"]): entry for entry in _load("concerts")["concert"]}
    known = await stock.select_known(list(concerts))
    missing = [entry for id_, entry in concerts.items() if id_ not in known]
    added = 0
    for entry in missing:
        added += await stock.add_concert(_concert(entry, entries[entry["venue"]], now, entropy))
    if added:
        await stock.settle()
    return added


def seeded_id(kind: str, name: str) -> UUID:
    return uuid5(NAMESPACE, f"{kind}:{name}")


def _load(name: str) -> dict[str, Any]:
    return tomllib.loads((DATA / f"{name}.toml").read_text(encoding="utf-8"))


def _venue(entry: Entry) -> NewVenue:
    return NewVenue(
        id=seeded_id("venue", entry["key"]),
        name=entry["name"],
        city=entry["city"],
        country=entry["country"],
        address=entry["address"],
        time_zone=entry["time_zone"],
    )


def _concert(entry: Entry, venue: Entry, now: datetime, entropy: Callable[[int], bytes]) -> NewConcert:
    zone = ZoneInfo(venue["time_zone"])
    today = now.astimezone(zone).date()
    day = concert_day(today, entry["week"], entry["day"])
    tiers = [_tier(entry, area, venue["currency"], entropy) for area in venue["areas"] if _sells(entry, area)]
    cheapest = min(tier.price_minor for tier in tiers)
    return NewConcert(
        id=seeded_id("concert", entry["slug"]),
        venue=_venue(venue),
        slug=entry["slug"],
        title=entry["title"],
        artist=entry["artist"],
        genre=entry["genre"],
        description=entry["description"].strip(),
        starts_at=datetime.combine(day, time.fromisoformat(entry["time"]), zone),
        doors_at=datetime.combine(day, time.fromisoformat(entry["doors"]), zone),
        on_sale_at=datetime.combine(today + timedelta(days=entry["on_sale"]), SALE_BEGINS, zone),
        sort_price_minor=round(cheapest * EURO_RATES[venue["currency"]]),
        tiers=tiers,
        box_office_order_id=seeded_id("box-office", entry["slug"]),
    )


def concert_day(today: date, week: int, day: str) -> date:
    """The `week`-th `day` after today: week 1 is the seven days that begin tomorrow."""
    tomorrow = today + timedelta(days=1)
    ahead = (WEEKDAYS.index(day) - tomorrow.weekday()) % 7
    return tomorrow + timedelta(weeks=week - 1, days=ahead)


def _sells(entry: Entry, area: Entry) -> bool:
    return area["key"] in entry["prices"]


def _tier(entry: Entry, area: Entry, currency: str, entropy: Callable[[int], bytes]) -> NewTier:
    name = f"{entry['slug']}:{area['key']}"
    tickets = list(_tickets(area))
    left = entry.get("left", {}).get(area["key"], round(len(tickets) * (1 - entry.get("sold", 0.0))))
    sold = sold_positions([ticket.position for ticket in tickets], len(tickets) - left, name)
    return NewTier(
        id=seeded_id("tier", name),
        name=area["name"],
        price_minor=entry["prices"][area["key"]] * MINOR_UNITS,
        currency=currency,
        includes=area["includes"],
        tickets=[
            replace(ticket, code=ticket_code(entropy(CODE_BYTES))) if ticket.position in sold else ticket
            for ticket in tickets
        ],
    )


def _tickets(area: Entry) -> Iterator[NewTicket]:
    """The area's tickets in order; a position is left out between rows, whose ends are no neighbours."""
    if "capacity" in area:
        for position in range(1, area["capacity"] + 1):
            yield NewTicket(position)
        return
    position = 0
    for section in area["sections"]:
        for row in row_names(area["rows"]):
            position += 1
            for seat in range(1, area["seats"] + 1):
                position += 1
                yield NewTicket(position, section, row, str(seat))


def row_names(span: str) -> list[str]:
    """The rows of "A-F" or "1-18"."""
    first, _, last = span.partition("-")
    if first.isdigit():
        return [str(number) for number in range(int(first), int(last) + 1)]
    return [chr(letter) for letter in range(ord(first), ord(last) + 1)]


def sold_positions(positions: Sequence[int], quantity: int, name: str) -> frozenset[int]:
    """`quantity` of the positions, in small parties here and there, as people buy; the same for a `name`."""
    chance = random.Random(name)  # noqa: S311 - which seats a demo shows as sold is no secret
    parties: list[Sequence[int]] = []
    begin = 0
    while begin < len(positions):
        size = chance.randint(1, 4)
        parties.append(positions[begin : begin + size])
        begin += size
    chance.shuffle(parties)
    return frozenset([position for party in parties for position in party][:quantity])
