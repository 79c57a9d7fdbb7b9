"""Answering a request once, however often it comes."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from services.defaults.errors import AppError, Unavailable, from_problem, to_problem
from services.ordering.service.deps import Deps
from services.ordering.store import keys
from services.ordering.store.keys import Claim, Stored

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to answer: the order's document, and whether an earlier request has made it so."""

    document: dict[str, Any]
    replayed: bool = False


async def claim(deps: Deps, wanted: Claim) -> Answer | None:
    """Takes the key, or gives the answer of the request that had it. Raises that request's error again."""
    stored = await keys.claim_key(deps.db, wanted, deps.policy().key_lease_s)
    if stored is None:
        return None
    if stored.status >= 400:
        raise from_problem(stored.status, stored.response)
    return Answer(stored.response, replayed=True)


@asynccontextmanager
async def released_on_failure(deps: Deps, wanted: Claim) -> AsyncIterator[None]:
    """Where the work inside fails, the same request may be tried again at once."""
    try:
        yield
    except Exception:
        try:
            await keys.release_key(deps.db, wanted)
        except Unavailable:
            logger.info("key left to its lease", extra={"operation": wanted.operation})
        raise


def stored_error(error: AppError) -> Stored:
    """An error as the answer that a key keeps."""
    return Stored(error.status, to_problem(error))
