"""WHERE clauses put together, and the cursors of pages."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from services.defaults.errors import Invalid

MAX_LIMIT: Final = 1_000
_CURSOR: Final = re.compile(r"(\d{1,19})-(\d{1,19})")


@dataclass
class Conditions:
    """Terms that must all hold, and their parameters. The terms are constants of this package."""

    terms: list[str] = field(default_factory=list)
    values: list[Any] = field(default_factory=list)

    def add(self, term: str, *values: Any) -> None:
        """Demands `term`."""
        self.terms.append(term)
        self.values += values

    def add_if(self, term: str, value: Any) -> None:
        """Demands `term` where a value is given, as often as the term asks for it."""
        if value not in ("", None):
            self.add(term, *[value] * term.count("?"))

    def where(self) -> str:
        return f"WHERE {' AND '.join(self.terms)}" if self.terms else ""


def contains(text: str) -> str:
    """The pattern of texts that contain `text`, for LIKE … ESCAPE '\\'; empty for no text."""
    return "%" + re.sub(r"([\\%_])", r"\\\1", text) + "%" if text else ""


def id_bytes(text: str, size: int) -> bytes:
    """An id's bytes; of what is none, bytes that no row has."""
    digits = size * 2
    return bytes.fromhex(text) if re.fullmatch(rf"[0-9a-fA-F]{{{digits}}}", text) else b""


def cursor(key: int, number: int) -> str:
    """Names the last row of a page by what it was sorted by."""
    return f"{key}-{number}"


def read_cursor(text: str) -> tuple[int, int]:
    """Raises `Invalid` where it is none."""
    match = _CURSOR.fullmatch(text)
    if match is None or max(int(match[1]), int(match[2])) >= 2**63:
        raise Invalid("This page is not there. Start from the first.")
    return int(match[1]), int(match[2])


def page_size(limit: int) -> int:
    return max(1, min(limit, MAX_LIMIT))


def marks(values: Sequence[Any]) -> str:
    """As many question marks as values, for IN."""
    return ", ".join("?" * len(values))
