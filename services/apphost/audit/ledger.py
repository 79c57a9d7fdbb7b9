"""The ledger of a running system: what is in flight comes to rest, then the books are judged."""

from __future__ import annotations

import asyncio
import itertools
import time
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Final

from services.apphost.audit import books as tickets_and_money
from services.apphost.audit import events
from services.apphost.audit.read import read_books
from services.apphost.audit.records import Books, Finding
from services.apphost.audit.report import Report, count
from services.apphost.errors import ApphostError
from services.apphost.running import read_running

SETTLE_S: Final = 20.0
PAUSE_S: Final = 0.5
RULES: Final = (*tickets_and_money.RULES, *events.RULES)
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})


async def audit(state: Path, *, settle_s: float = SETTLE_S, acknowledged: Mapping[str, str] = NOTHING) -> Report:
    """The report on the system that runs from the folder ``state``.

    What may be in flight is waited for, ``settle_s`` seconds at most, and counts as a fault after that.
    ``acknowledged`` maps ids of orders to the statuses that buyers were told. Raises ApphostError, naming the part,
    where the books cannot be read.
    """
    urls = read_running(state)["urls"]
    began = time.monotonic()
    earlier: list[Finding] | None = None
    while True:
        books = await _read_within(began + settle_s, state, urls, acknowledged)
        findings = judge(books)
        waited_s = time.monotonic() - began
        if _is_certain(findings, earlier) or waited_s >= settle_s:
            return Report(counts=count(books), findings=findings, waited_s=waited_s)
        earlier = findings
        await asyncio.sleep(PAUSE_S)


async def _read_within(deadline: float, state: Path, urls: Mapping[str, str], acknowledged: Mapping[str, str]) -> Books:
    """The books, as soon as every part can be read: after a crash, one may still be on its way back."""
    while True:
        try:
            return await read_books(state, urls, acknowledged)
        except ApphostError:
            if time.monotonic() >= deadline:
                raise
        await asyncio.sleep(PAUSE_S)


def judge(books: Books) -> list[Finding]:
    """Everything that does not add up, in a fixed order."""
    return sorted(itertools.chain.from_iterable(rule(books) for rule in RULES))


def _is_certain(findings: list[Finding], earlier: list[Finding] | None) -> bool:
    """Whether waiting longer would change nothing.

    The parts are read one after the other, so a shop at work may look wrong once: a fault is seen twice.
    """
    if any(finding.passing for finding in findings):
        return False
    return not findings or findings == earlier
