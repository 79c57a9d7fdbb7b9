"""A search for concerts: what it asks, what it is compared with, and where its next page begins. Pure."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import unicodedata
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from enum import StrEnum
from typing import Final
from uuid import UUID

from services.catalog.domain import Concert
from services.defaults.errors import Invalid

DEFAULT_PAGE_SIZE: Final = 20
MAX_PAGE_SIZE: Final = 100
MAX_TERM_CHARS: Final = 100
MAX_TOKEN_CHARS: Final = 10_000  # of the longest title, in letters that are taken apart into eighteen each

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_INT64_MAX: Final = 2**63 - 1
_CHECK_BYTES: Final = 6
_ISO_DATE: Final = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)
# Letters that Unicode does not take apart into a base letter and a mark.
_PLAIN: Final = str.maketrans({"ø": "o", "ł": "l", "đ": "d", "æ": "ae", "œ": "oe", "ð": "d", "þ": "th", "ı": "i"})


class Sort(StrEnum):
    DATE = "DATE"
    PRICE = "PRICE"
    TITLE = "TITLE"


@dataclass(frozen=True, slots=True)
class PageKey:
    """Where a page begins: after the concert with this sort value and this id."""

    value: str | int | datetime
    id: UUID


@dataclass(frozen=True, slots=True)
class ConcertQuery:
    """A search for concerts, normalised: two that mean the same are equal. Made by `concert_query`."""

    terms: tuple[str, ...]
    city_key: str
    genre_key: str
    from_date: date | None
    to_date: date | None
    available_only: bool
    sort: Sort
    page_size: int
    after: PageKey | None = None

    @property
    def digest(self) -> str:
        """Names the filter and the sort; a page token is good for this one alone."""
        parts = [self.terms, self.city_key, self.genre_key, str(self.from_date), str(self.to_date)]
        text = json.dumps([*parts, self.available_only, self.sort])
        return hashlib.sha256(text.encode()).hexdigest()[:16]


def fold(text: str) -> str:
    """`text` for comparing: no capitals, no accents, single spaces ("  Łódź Straße" → "lodz strasse")."""
    decomposed = unicodedata.normalize("NFKD", text.casefold().translate(_PLAIN))
    plain = "".join(char for char in decomposed if not unicodedata.combining(char))
    return " ".join(plain.casefold().split())


def like_pattern(term: str) -> str:
    """A LIKE pattern that finds `term` anywhere, its wildcards taken literally."""
    escaped = term.replace("\\", r"\\").replace("%", r"\%").replace("_", r"\_")
    return f"%{escaped}%"


def concert_query(
    *,
    text: str = "",
    city: str = "",
    genre: str = "",
    from_date: str = "",
    to_date: str = "",
    available_only: bool = False,
    sort: Sort = Sort.DATE,
    page_size: int = 0,
    page_token: str = "",
) -> ConcertQuery:
    """The search, checked and normalised. Raises `Invalid` naming the fields at fault."""
    fields = {
        name: f"Use at most {MAX_TERM_CHARS} characters."
        for name, value in (("text", text), ("city", city), ("genre", genre))
        if len(value) > MAX_TERM_CHARS
    }
    if not 0 <= page_size <= MAX_PAGE_SIZE:
        fields["page_size"] = f"A page has from 1 to {MAX_PAGE_SIZE} concerts."
    first, last = _date("from_date", from_date, fields), _date("to_date", to_date, fields)
    if first and last and last < first:
        fields["to_date"] = "The last day must not lie before the first."
    if fields:
        raise Invalid("Concerts cannot be searched like this.", fields=fields)
    query = ConcertQuery(
        terms=tuple(sorted(set(fold(text).split()))),
        city_key=fold(city),
        genre_key=fold(genre),
        from_date=first,
        to_date=last,
        available_only=available_only,
        sort=sort,
        page_size=page_size or DEFAULT_PAGE_SIZE,
    )
    return _with_page(query, page_token) if page_token else query


def _date(name: str, text: str, fields: dict[str, str]) -> date | None:
    if not text:
        return None
    if _ISO_DATE.fullmatch(text):
        with suppress(ValueError):  # a day that no month has: told of below, like any other text
            return date.fromisoformat(text)
    fields[name] = "Write the date as YYYY-MM-DD."
    return None


# --- page tokens: opaque, and good only for the search that made them


def page_token(query: ConcertQuery, last: Concert) -> str:
    """Where the page after the one that ends with `last` begins."""
    values: dict[Sort, str | int] = {
        Sort.DATE: (last.starts_at - _EPOCH) // timedelta(microseconds=1),
        Sort.PRICE: last.sort_price_minor,
        Sort.TITLE: last.title_key,
    }
    payload = json.dumps([query.digest, values[query.sort], last.id.hex], ensure_ascii=False).encode()
    return base64.urlsafe_b64encode(_checksum(payload) + payload).decode().rstrip("=")


def _with_page(query: ConcertQuery, token: str) -> ConcertQuery:
    try:
        return replace(query, after=_page_key(query, token))
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise Invalid(
            "This page is not to be had; start again from the first.",
            fields={"page_token": "It belongs to another search, or was changed."},
        ) from error


def _page_key(query: ConcertQuery, token: str) -> PageKey:
    if len(token) > MAX_TOKEN_CHARS:
        raise ValueError("too long")
    raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
    check, payload = raw[:_CHECK_BYTES], raw[_CHECK_BYTES:]
    if check != _checksum(payload):
        raise ValueError("changed")
    digest, value, concert_id = json.loads(payload)
    if digest != query.digest:
        raise ValueError("of another search")
    return PageKey(_sort_value(query.sort, value), UUID(hex=str(concert_id)))


def _sort_value(sort: Sort, value: object) -> str | int | datetime:
    """Also a token that somebody forged must not reach the database with a value that it chokes on."""
    if sort is Sort.TITLE and isinstance(value, str) and "\0" not in value:
        value.encode()  # half a character is a ValueError
        return value
    if sort is Sort.PRICE and isinstance(value, int) and 0 <= value <= _INT64_MAX:
        return value
    if sort is Sort.DATE and isinstance(value, int):
        return _EPOCH + timedelta(microseconds=value)
    raise ValueError("no such sort value")


def _checksum(payload: bytes) -> bytes:
    """Tells a damaged token from a whole one. Not a signature: a token opens nothing that is not public."""
    return hashlib.blake2b(payload, digest_size=_CHECK_BYTES, person=b"catalog-page").digest()
