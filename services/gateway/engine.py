"""The GraphQL engine: one for the process, as is tartiflette's registry of schemas."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache, partial
from typing import Any, Final

from tartiflette import Engine
from tartiflette.resolver.default import default_field_resolver

from services.defaults.errors import Invalid
from services.gateway.answers import Answer
from services.gateway.context import RequestContext
from services.gateway.faults import coerce_error
from services.gateway.guard import QueryLimits, is_public, outline_of
from services.gateway.operation import note_errors, operation_span
from services.gateway.schema import SCHEMA_NAME, SDL

MODULES: Final = (
    "services.gateway.resolvers.scalars",
    "services.gateway.resolvers.authorized",
    "services.gateway.resolvers.concerts",
    "services.gateway.resolvers.orders",
    "services.gateway.resolvers.sessions",
)
MAX_PARSED_DOCUMENTS: Final = 256
MAX_ERRORS: Final = 20  # a query of unknown fields gets one for each of them

# In process, callers are trusted: for them the limits only say how a document is read.
_TRUSTED: Final = QueryLimits(max_query_bytes=1 << 20, max_tokens=5000, max_aliases=100, max_depth=20)


async def _read(parent: Any, arguments: Mapping[str, Any], context: RequestContext, info: Any) -> Any:
    """The value of a field without a resolver of its own: every object of ours is a mapping by field name."""
    await context.breather.take()
    if info.is_introspection:
        return await default_field_resolver(parent, {}, context, info)
    return parent[info.field_name]


_engine: Final = Engine(
    SDL,
    schema_name=SCHEMA_NAME,
    modules=list(MODULES),
    error_coercer=coerce_error,
    custom_default_resolver=_read,
    # A task for each value doubles the work, and runs thousands of them before anything else gets a turn.
    # The fields that wait for something say so themselves (schema.resolver).
    coerce_list_concurrently=False,
    coerce_parent_concurrently=False,
    query_cache_decorator=lru_cache(maxsize=MAX_PARSED_DOCUMENTS),
)


async def prepare() -> None:
    """Makes the engine ready; the second time it does nothing."""
    await _engine.cook()


async def execute(
    query: str,
    variables: Mapping[str, Any] | None,
    context: RequestContext,
    operation_name: str | None = None,
) -> dict[str, Any]:
    """Runs a GraphQL request that is trusted or was judged by `guard.judge`.

    The outcome is `{"data": …}`, with `"errors": [{"message", "path", "locations", "extensions": {"code",
    "fields"?, "retryAfter"?, "traceId"?}}]` where there are any. It never raises for what went wrong in the
    request. The outcome may be shared with other requests: never change it.
    """
    public = _reads_public(query)
    return (await answer(query, variables or {}, context, operation_name, public=public)).result


async def answer(
    query: str,
    variables: Mapping[str, Any],
    context: RequestContext,
    operation_name: str | None,
    *,
    public: bool,
) -> Answer:
    """As `execute`, with the outcome also as JSON. What is `public` comes from a memory of a second."""
    run = partial(_run, query, variables, context, operation_name)
    if not public or not context.public_browsing:
        return await run()
    key = (query, operation_name, json.dumps(variables, sort_keys=True))
    return await context.answers.get(key, run)


def _reads_public(query: str) -> bool:
    try:
        return is_public(outline_of(query, _TRUSTED))
    except Invalid:
        return False  # the engine says what is wrong with it


async def _run(query: str, variables: Mapping[str, Any], context: RequestContext, operation_name: str | None) -> Answer:
    await prepare()
    with operation_span(query, operation_name, _TRUSTED) as labels:
        result: dict[str, Any] = await _engine.execute(
            query, operation_name=operation_name, context=context, variables=dict(variables)
        )
        if "errors" in result:
            del result["errors"][MAX_ERRORS:]
            note_errors(labels, result["errors"])
    return Answer(result)
