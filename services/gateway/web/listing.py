"""The list of concerts: what its address asks for, and what the home page picks from it. No I/O."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date, datetime, timedelta
from typing import Any, Protocol
from urllib.parse import urlencode

from services.defaults.errors import Invalid
from services.gateway.days import parse_day
from services.gateway.web.formatting import Reader
from services.gateway.web.views import Card, SaleState

MAX_TEXT = 100
MAX_CURSOR = 500
MAX_TRAIL = 30  # pages that "previous" can lead back through
SORTS = {"date": "Soonest first", "price": "Lowest price first", "title": "Title, A to Z"}
ROW_LENGTH = 6
SOON = timedelta(days=7)
NEW = timedelta(days=21)


class Arguments(Protocol):
    """As much of a query string as is looked at."""

    def get(self, key: str, default: str) -> str: ...
    def getlist(self, key: str) -> list[str]: ...


@dataclass(frozen=True)
class Search:
    """One page of one search. `trail` holds the cursors of the pages before, the first page's being empty."""

    text: str = ""
    city: str = ""
    genre: str = ""
    from_date: date | None = None
    to_date: date | None = None
    sort: str = "date"
    available_only: bool = False
    after: str = ""
    trail: tuple[str, ...] = field(default=())

    def filter(self) -> dict[str, Any]:
        """As GraphQL's `ConcertFilter`."""
        wanted = {
            "text": self.text,
            "city": self.city,
            "genre": self.genre,
            "from": self.from_date.isoformat() if self.from_date else None,
            "to": self.to_date.isoformat() if self.to_date else None,
            "availableOnly": self.available_only,
        }
        return {name: value for name, value in wanted.items() if value}

    def address(self) -> str:
        """The one address of this page: what says nothing is left out."""
        wanted = self.filter()
        if wanted.pop("availableOnly", None):
            wanted["available"] = "1"
        if self.sort != "date":
            wanted["sort"] = self.sort
        if self.after:
            wanted["after"] = self.after
        pairs = [*wanted.items(), *(("back", cursor) for cursor in self.trail)]
        return f"/concerts?{urlencode(pairs)}" if pairs else "/concerts"

    def form_values(self) -> dict[str, str]:
        """As the form of the filters shows them."""
        return {name: str(value) for name, value in {**self.filter(), "sort": self.sort}.items()}

    def first_page(self, **changes: Any) -> "Search":
        return replace(self, after="", trail=(), **changes)

    def following(self, cursor: str) -> "Search":
        return replace(self, after=cursor, trail=(*self.trail, self.after)[-MAX_TRAIL:])

    def preceding(self) -> "Search | None":
        """The page before this one, or none on the first."""
        if not self.after:
            return None
        *earlier, before = self.trail or ("",)
        return replace(self, after=before, trail=tuple(earlier))


@dataclass(frozen=True)
class Chip:
    """A filter that is on, and the address of the list without it."""

    label: str
    without: str


def parse_search(arguments: Arguments) -> Search:
    """Raises `Invalid` with a sentence for every field at fault."""
    problems: dict[str, str] = {}
    from_date = _parse_date(arguments.get("from", ""), "from", problems)
    to_date = _parse_date(arguments.get("to", ""), "to", problems)
    if from_date and to_date and to_date < from_date:
        problems["to"] = "The last day is before the first. Swap them, or leave one empty."
    texts = {name: _parse_text(arguments.get(name, ""), name, problems) for name in ("text", "city", "genre")}
    sort = arguments.get("sort", "") or "date"
    if sort not in SORTS:
        problems["sort"] = "Choose one of the orders in the list."
    cursors = [arguments.get("after", ""), *arguments.getlist("back")]
    if problems or any(len(cursor) > MAX_CURSOR or not cursor.isascii() for cursor in cursors):
        raise Invalid("Some of the filters cannot be used as they are.", fields=problems)
    return Search(
        **texts,
        from_date=from_date,
        to_date=to_date,
        sort=sort,
        available_only=arguments.get("available", "") not in {"", "0"},
        after=cursors[0],
        trail=tuple(cursors[1:])[-MAX_TRAIL:],
    )


def chips(search: Search, reader: Reader) -> list[Chip]:
    """One for each filter that is on."""
    found: list[tuple[str, dict[str, Any]]] = []
    if search.text:
        found.append((f"“{search.text}”", {"text": ""}))
    if search.city:
        found.append((search.city, {"city": ""}))
    if search.genre:
        found.append((search.genre, {"genre": ""}))
    if search.from_date:
        found.append((f"from {reader.plain_day(search.from_date)}", {"from_date": None}))
    if search.to_date:
        found.append((f"until {reader.plain_day(search.to_date)}", {"to_date": None}))
    if search.available_only:
        found.append(("Tickets available", {"available_only": False}))
    return [Chip(label, search.first_page(**change).address()) for label, change in found]


@dataclass(frozen=True)
class City:
    name: str
    count: int


@dataclass(frozen=True)
class HomeRows:
    """What the home page shows: each concert once, save in `soon`, which stands in for an empty week."""

    featured: Card | None
    this_week: Sequence[Card]
    new: Sequence[Card]
    nearly_gone: Sequence[Card]
    soon: Sequence[Card]
    cities: Sequence[City]


def pick_rows(concerts: Iterable[Card], now: datetime) -> HomeRows:
    """Chooses from concerts that are ordered by date."""
    coming = [concert for concert in concerts if concert.starts_at > now]
    on_sale = [concert for concert in coming if concert.buyable]
    featured = _feature(on_sale, now)
    week = [c for c in coming if c.starts_at <= now + SOON and c != featured][:ROW_LENGTH]
    shown = {c.id for c in (featured, *week) if c}
    few = sorted((c for c in on_sale if c.state is SaleState.FEW_LEFT), key=lambda c: c.available)
    nearly_gone = [c for c in few if c.id not in shown][:ROW_LENGTH]
    shown |= {c.id for c in nearly_gone}
    newest = sorted(on_sale, key=lambda c: c.on_sale_at, reverse=True)
    return HomeRows(
        featured=featured,
        this_week=week,
        new=[c for c in newest if c.id not in shown and c.on_sale_at > now - NEW][:ROW_LENGTH],
        nearly_gone=nearly_gone,
        soon=[c for c in coming if c.id not in shown][:ROW_LENGTH],
        cities=_cities(coming),
    )


def _feature(on_sale: Sequence[Card], now: datetime) -> Card | None:
    """The largest choice among those that leave time to plan: many tickets left, not this very week."""
    later = [c for c in on_sale if c.starts_at > now + SOON] or on_sale
    return max(later, key=lambda c: (c.available, c.slug), default=None)


def _cities(concerts: Iterable[Card]) -> list[City]:
    counts: dict[str, int] = {}
    for concert in concerts:
        counts[concert.venue.city] = counts.get(concert.venue.city, 0) + 1
    return [City(name, count) for name, count in sorted(counts.items())]


def _parse_date(raw: str, name: str, problems: dict[str, str]) -> date | None:
    if not raw:
        return None
    try:
        return parse_day(raw)
    except ValueError:
        problems[name] = "Write the day as year-month-day, such as 2030-12-31."
        return None


def _parse_text(raw: str, name: str, problems: dict[str, str]) -> str:
    text = " ".join(raw.split())
    if len(text) > MAX_TEXT:
        problems[name] = f"Use at most {MAX_TEXT} characters."
    elif not text.isprintable():
        problems[name] = "Use letters, numbers and spaces."
    return text


def kept(arguments: Mapping[str, str]) -> dict[str, str]:
    """The filters as they were typed, so that a form with a mistake comes back whole."""
    return {name: arguments.get(name, "") for name in ("text", "city", "genre", "from", "to", "sort")}
