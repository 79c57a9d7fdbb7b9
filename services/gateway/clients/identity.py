"""Identity over HTTP."""

from __future__ import annotations

from typing import Any

from services.gateway.clients import Node
from services.gateway.clients.transport import HttpCalls


class HttpIdentity:
    """`clients.Identity` over the wire.

    None of the calls is repeated after a failure: a refresh token is spent by its first use, and a second
    registration would find the first one's address taken.
    """

    def __init__(self, calls: HttpCalls) -> None:
        self._calls = calls

    async def ping(self) -> None:
        """Raises where identity does not answer."""
        await self._calls.request("GET", "/alive")

    async def register(self, *, email: str, password: str, name: str, client_address: str) -> Node:
        body = {"email": email, "password": password, "name": name}
        return to_session(await self._post("/register", body, client_address))

    async def login(self, *, email: str, password: str, client_address: str) -> Node:
        body = {"email": email, "password": password}
        return to_session(await self._post("/login", body, client_address))

    async def refresh(self, refresh_token: str, *, client_address: str) -> Node:
        return to_session(await self._post("/refresh", {"refreshToken": refresh_token}, client_address))

    async def logout(self, refresh_token: str, *, client_address: str) -> None:
        await self._post("/logout", {"refreshToken": refresh_token}, client_address)

    async def me(self, token: str) -> Node:
        return to_user((await self._calls.request("GET", "/me", token=token)).body)

    async def _post(self, path: str, body: Node, client_address: str) -> Any:
        headers = {"X-Forwarded-For": client_address} if client_address else {}
        return (await self._calls.request("POST", path, json=body, headers=headers)).body


def to_session(body: Any) -> Node:
    return {
        "accessToken": body["accessToken"],
        "refreshToken": body["refreshToken"],
        "expiresIn": body["expiresIn"],
        "user": to_user(body["user"]),
    }


def to_user(body: Any) -> Node:
    return {"id": body["id"], "email": body["email"], "name": body["name"]}
