"""Registering, logging in and out, and who one is."""

from __future__ import annotations

from typing import Any

from services.defaults.http import run_to_completion
from services.gateway.clients import Node
from services.gateway.context import RequestContext
from services.gateway.limits import Act
from services.gateway.schema import Arguments, resolver


@resolver("Query.me")
async def me(parent: Any, arguments: Arguments, context: RequestContext, info: Any) -> Node:
    return await context.clients.identity.me(context.access_token)


@resolver("Mutation.register")
async def register(parent: Any, arguments: Arguments, context: RequestContext, info: Any) -> Node:
    wanted = arguments["input"]
    await context.limiter.spend(Act.REGISTER_ADDRESS, context.client_address)
    return await run_to_completion(
        context.clients.identity.register(
            email=wanted["email"],
            password=wanted["password"],
            name=wanted["name"],
            client_address=context.client_address,
        )
    )


@resolver("Mutation.login")
async def login(parent: Any, arguments: Arguments, context: RequestContext, info: Any) -> Node:
    wanted = arguments["input"]
    await context.limiter.spend(Act.LOGIN_ADDRESS, context.client_address)
    await context.limiter.spend(Act.LOGIN_ACCOUNT, wanted["email"].strip().casefold())
    return await run_to_completion(
        context.clients.identity.login(
            email=wanted["email"], password=wanted["password"], client_address=context.client_address
        )
    )


@resolver("Mutation.refreshToken")
async def refresh_token(parent: Any, arguments: Arguments, context: RequestContext, info: Any) -> Node:
    await context.limiter.spend(Act.REFRESH_ADDRESS, context.client_address)
    return await run_to_completion(
        context.clients.identity.refresh(arguments["refreshToken"], client_address=context.client_address)
    )


@resolver("Mutation.logout")
async def logout(parent: Any, arguments: Arguments, context: RequestContext, info: Any) -> bool:
    await run_to_completion(
        context.clients.identity.logout(arguments["refreshToken"], client_address=context.client_address)
    )
    return True
