"""What every page has at hand, and what it gives back."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Concatenate, Generic, TypeVar

from quart import Response

from services.dashboard.control import Control
from services.dashboard.mails import Mails
from services.dashboard.pages.guard import Guard
from services.dashboard.pages.live import Live
from services.dashboard.pages.rendering import Renderer
from services.dashboard.queues import Queues
from services.dashboard.registry import Registry
from services.dashboard.store import Store
from services.dashboard.token import Access
from services.defaults.assets import Assets
from services.defaults.errors import AppError

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Site:
    """What the pages are made from. Where the environment names no app host, broker, … that field is None."""

    store: Store
    control: Control | None
    registry: Registry | None
    queues: Queues | None
    mails: Mails | None
    access: Access
    guard: Guard
    live: Live
    renderer: Renderer
    assets: Assets
    now_ns: Callable[[], int]


@dataclass(frozen=True)
class View:
    """What stands in a page's `<main>`: a template and what it is filled with."""

    template: str
    title: str
    context: Mapping[str, Any] = field(default_factory=dict)
    status: int = 200


Query = Mapping[str, str]
"""What stands after the `?` of an address, or what a form sent."""

Page = Callable[Concatenate[Site, Query, ...], Awaitable[View | Response]]


@dataclass(frozen=True)
class Found(Generic[T]):
    """What was asked for, or a sentence about why it is not there."""

    value: T | None
    problem: str = ""


async def attempt(call: Awaitable[T]) -> Found[T]:
    """Asks for a part of a page without which the rest can be shown."""
    try:
        return Found(await call)
    except AppError as error:
        return Found(None, error.message)


def see_other(path: str) -> Response:
    """On to a page of ours, after a form (RFC 9110, 15.4.4)."""
    return Response(status=303, headers={"Location": path, "Cache-Control": "no-store"})
