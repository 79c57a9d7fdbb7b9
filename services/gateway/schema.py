"""The schema's name in tartiflette's registry, and typed ways to register what implements it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any, Final, TypeVar

from tartiflette import Directive, Resolver, Scalar

from services.defaults.telemetry import observe
from services.gateway.context import RequestContext

SCHEMA_NAME: Final = "ticketflow"
SDL: Final = (Path(__file__).parent / "schema.graphql").read_text("utf-8")

ROOT_FIELDS: Final[set[str]] = set()
"""The names of the operations that there are; filled as their resolvers register."""

Arguments = Mapping[str, Any]
Resolve = Callable[[Any, Arguments, RequestContext, Any], Awaitable[Any]]
ClassT = TypeVar("ClassT", bound=type[Any])


def resolver(field: str, *, waits: bool = True, list_concurrently: bool = False) -> Callable[[Resolve], Resolve]:
    """Makes a coroutine function the resolver of `Type.field`: `(parent, arguments, context, info)`.

    One that `waits` for something runs beside its neighbours; with `list_concurrently`, so do the items of
    the list that it gives.
    """

    def register(resolve: Resolve) -> Resolve:
        async def run(parent: Any, arguments: Arguments, context: RequestContext, info: Any) -> Any:
            if not context.trace_resolvers:
                return await resolve(parent, arguments, context, info)
            with observe(f"resolve {field}"):
                return await resolve(parent, arguments, context, info)

        kind, _, name = field.partition(".")
        if kind in {"Query", "Mutation"}:
            ROOT_FIELDS.add(name)
        Resolver(
            field,
            schema_name=SCHEMA_NAME,
            parent_concurrently=waits,
            list_concurrently=list_concurrently,
        )(run)
        return resolve

    return register


def scalar(name: str) -> Callable[[ClassT], ClassT]:
    def register(implementation: ClassT) -> ClassT:
        Scalar(name, schema_name=SCHEMA_NAME)(implementation)
        return implementation

    return register


def directive(name: str) -> Callable[[ClassT], ClassT]:
    def register(implementation: ClassT) -> ClassT:
        Directive(name, schema_name=SCHEMA_NAME)(implementation)
        return implementation

    return register
