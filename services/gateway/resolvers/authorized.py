"""`@authorized`: the field is only for someone who is logged in."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Any

from services.gateway.context import RequestContext
from services.gateway.schema import directive


@directive("authorized")
class Authorized:
    """Raises `Unauthorized` in the field's place where the request carries no good access token."""

    async def on_field_execution(  # noqa: PLR0917 - tartiflette passes them by position
        self,
        directive_arguments: Mapping[str, Any],
        resolve: Callable[..., Awaitable[Any]],
        parent: Any,
        arguments: Mapping[str, Any],
        context: RequestContext,
        info: Any,
    ) -> Any:
        context.require_login()
        return await resolve(parent, arguments, context, info)
