"""Clients of other services, over HTTP and gRPC, that find an instance and survive its failures.

Both share `attempts.Caller`, and tell an application only errors of the tree in `errors.py`. They carry the
trace and what is left of the caller's deadline along.
"""

from __future__ import annotations

import asyncio
import json as jsonlib
import socket
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, Generic, TypeVar

import aiohttp
from grpclib.client import Channel
from grpclib.const import Status
from grpclib.exceptions import GRPCError, StreamTerminatedError
from yarl import URL

from services.defaults.attempts import DEFAULT_POLICY, AttemptFailed, Caller, Policy, unavailable
from services.defaults.deadline import DEADLINE_HEADER, format_deadline
from services.defaults.discovery import Discovery, Endpoint
from services.defaults.errors import from_problem
from services.defaults.grpc_errors import from_grpc_error
from services.defaults.telemetry import inject_trace, request_span, rpc_client_span

StubT = TypeVar("StubT")

MAX_ANSWER_BYTES: Final = 4 * 1024 * 1024
MAX_CONNECTIONS: Final = 200
# Below the 5 s after which hypercorn closes an idle connection: one closed just as a POST leaves on it is
# an error that nobody may retry.
IDLE_CONNECTION_S: Final = 3.0
REPEATABLE_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "PUT", "DELETE"})  # RFC 9110, 9.2.2

_TRANSIENT_STATUSES: Final = frozenset({408, 500, 502, 503, 504})
_TRANSIENT_GRPC: Final = frozenset({Status.UNAVAILABLE, Status.DEADLINE_EXCEEDED})


@dataclass(frozen=True)
class HttpAnswer:
    """A 2xx answer. `body` is parsed JSON, text where it is no JSON, None where it is empty."""

    status: int
    body: Any
    headers: Mapping[str, str]


class HttpClient:
    """Calls one service's REST interface."""

    def __init__(
        self,
        service: str,
        discovery: Discovery,
        session: aiohttp.ClientSession,
        policy: Policy = DEFAULT_POLICY,
        *,
        max_answer_bytes: int = MAX_ANSWER_BYTES,
    ) -> None:
        self._service = service
        self._session = session
        self._connect_s = policy.connect_s
        self._max_answer_bytes = max_answer_bytes
        self._caller = Caller(service, discovery, policy)

    async def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        params: Mapping[str, str] | None = None,
        token: str | None = None,
        idempotency_key: str | None = None,
        headers: Mapping[str, str] | None = None,
        timeout_s: float | None = None,
        may_be_slow: bool = False,
    ) -> HttpAnswer:
        """Sends one request, `json` as its body if not None; `timeout_s` is for all attempts together.

        What `may_be_slow` says nothing of the service's health where it takes too long; see `Caller.call`.
        Any answer but 2xx raises the `AppError` that it stands for; no answer raises `Unavailable`. POST and
        PATCH are sent again only with an idempotency key, or where the first never left this process.
        """
        sent_headers = {**(headers or {}), **_credentials(token)}
        if idempotency_key is not None:
            sent_headers["Idempotency-Key"] = idempotency_key
        repeatable = method in REPEATABLE_METHODS or idempotency_key is not None

        async def send(endpoint: Endpoint, attempt_s: float) -> HttpAnswer:
            url = URL.build(scheme="http", host=endpoint.host, port=endpoint.port, path=path)
            timely = {**sent_headers, DEADLINE_HEADER: format_deadline(attempt_s)}
            return await self._send(method, url.update_query(params), json=json, headers=timely)

        return await self._caller.call(send, repeatable=repeatable, timeout_s=timeout_s, may_be_slow=may_be_slow)

    async def _send(self, method: str, url: URL, **options: Any) -> HttpAnswer:
        # The whole is timed by whoever calls this.
        options["timeout"] = aiohttp.ClientTimeout(total=None, sock_connect=self._connect_s)
        try:
            response, content = await self._exchange(method, url, **options)
        except (aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError) as error:
            away = unavailable(self._service)
            raise AttemptFailed(away, sent=False, transient=True, lost=True) from error
        except (aiohttp.ClientError, OSError) as error:
            raise AttemptFailed(unavailable(self._service), transient=True, lost=True) from error
        return self._answer(response, content)

    async def _exchange(
        self, method: str, url: URL, *, headers: dict[str, str], **options: Any
    ) -> tuple[aiohttp.ClientResponse, bytes]:
        with request_span(method, self._service, str(url.with_query(None))) as told:
            options["headers"] = headers | inject_trace()
            async with self._session.request(method, url, allow_redirects=False, **options) as response:
                told["http.response.status_code"] = response.status
                return response, await self._read(response)

    async def _read(self, response: aiohttp.ClientResponse) -> bytes:
        content = bytearray()
        async for chunk in response.content.iter_any():
            content += chunk
            if len(content) > self._max_answer_bytes:
                raise AttemptFailed(unavailable(self._service))
        return bytes(content)

    def _answer(self, response: aiohttp.ClientResponse, content: bytes) -> HttpAnswer:
        status = response.status
        if 300 <= status < 400:  # no service of ours redirects; following one would send the token elsewhere
            raise AttemptFailed(unavailable(self._service))
        try:
            body = parse_body(response.content_type, content)
        except ValueError as unreadable:
            if status < 300:
                raise AttemptFailed(unavailable(self._service)) from unreadable
            body = None
        if status < 300:
            return HttpAnswer(status, body, response.headers)
        retry_after_s = parse_retry_after(response.headers.get("Retry-After"), datetime.now(UTC))
        transient = status in _TRANSIENT_STATUSES or (status == 429 and retry_after_s is not None)
        slow = status == 503 and retry_after_s is not None  # it works on it, and says when to ask again
        raise AttemptFailed(from_problem(status, body, retry_after_s=retry_after_s), transient=transient, slow=slow)


@asynccontextmanager
async def open_http_client(
    service: str,
    discovery: Discovery,
    policy: Policy = DEFAULT_POLICY,
    *,
    max_answer_bytes: int = MAX_ANSWER_BYTES,
) -> AsyncIterator[HttpClient]:
    """An `HttpClient` with connections of its own, closed at the end. It keeps no cookies."""
    connector = aiohttp.TCPConnector(limit=MAX_CONNECTIONS, keepalive_timeout=IDLE_CONNECTION_S)
    async with aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.DummyCookieJar()) as session:
        yield HttpClient(service, discovery, session, policy, max_answer_bytes=max_answer_bytes)


class GrpcClient(Generic[StubT]):
    """Calls one gRPC service, over one connection to each instance, kept until the end."""

    def __init__(
        self,
        service: str,
        discovery: Discovery,
        stub_class: Callable[[Channel], StubT],
        policy: Policy = DEFAULT_POLICY,
    ) -> None:
        self._service = service
        self._stub_class = stub_class
        self._caller = Caller(service, discovery, policy)
        self._lines: dict[Endpoint, tuple[Channel, StubT]] = {}

    async def call(
        self,
        method: str,
        request: Any,
        *,
        token: str | None = None,
        timeout_s: float | None = None,
        idempotent: bool = True,
    ) -> Any:
        """The reply of the stub's unary `method`; `timeout_s` is for all attempts together.

        Any status but OK raises the `AppError` that it stands for; no answer raises `Unavailable`. A call
        that is not `idempotent` is sent again only where the first never left this process.
        """
        with rpc_client_span(self._service, method):
            metadata = {**_credentials(token, name="authorization"), **inject_trace()}

            async def send(endpoint: Endpoint, attempt_s: float) -> Any:
                rpc = getattr(self._stub(endpoint), method)
                return await self._send(rpc(request, timeout=attempt_s, metadata=metadata))

            return await self._caller.call(send, repeatable=idempotent, timeout_s=timeout_s)

    def close(self) -> None:
        """Closes every connection; calls in flight fail."""
        for channel, _ in self._lines.values():
            channel.close()
        self._lines.clear()

    async def _send(self, rpc: Any) -> Any:
        try:
            # In a task of its own: when a connection breaks, grpclib cancels the task that calls, and never
            # takes it back, which would confuse every later `asyncio.timeout` and `TaskGroup` of ours.
            return await asyncio.create_task(rpc)
        except TimeoutError:  # an OSError too, and handled by whoever times this
            raise
        except (ConnectionRefusedError, socket.gaierror) as failure:
            away = unavailable(self._service)
            raise AttemptFailed(away, sent=False, transient=True, lost=True) from failure
        except (StreamTerminatedError, OSError) as failure:
            raise AttemptFailed(unavailable(self._service), transient=True, lost=True) from failure
        except GRPCError as failure:
            error = from_grpc_error(failure)
            asked_to_return = error.status == 429 and error.retry_after_s is not None
            transient = failure.status in _TRANSIENT_GRPC or asked_to_return
            raise AttemptFailed(error, transient=transient) from failure

    def _stub(self, endpoint: Endpoint) -> StubT:
        line = self._lines.get(endpoint)
        if line is None:
            channel = Channel(endpoint.host, endpoint.port)
            line = self._lines[endpoint] = (channel, self._stub_class(channel))
        return line[1]


@asynccontextmanager
async def open_grpc_client(
    service: str,
    discovery: Discovery,
    stub_class: Callable[[Channel], StubT],
    policy: Policy = DEFAULT_POLICY,
) -> AsyncIterator[GrpcClient[StubT]]:
    """A `GrpcClient` for the generated `stub_class`, closed at the end."""
    client = GrpcClient(service, discovery, stub_class, policy)
    try:
        yield client
    finally:
        client.close()


def parse_body(content_type: str, content: bytes) -> Any:
    """JSON parsed, other text decoded, nothing as None; raises `ValueError` for JSON that is none."""
    if not content:
        return None
    if content_type == "application/json" or content_type.endswith("+json"):
        return jsonlib.loads(content)
    return content.decode("utf-8", "replace")


def parse_retry_after(value: str | None, now: datetime) -> float | None:
    """Seconds to wait, from either form that RFC 9110 (10.2.3) allows; None where it makes no sense."""
    if value is None:
        return None
    if value.isascii() and value.isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return max(0.0, (when.replace(tzinfo=when.tzinfo or UTC) - now).total_seconds())


def _credentials(token: str | None, *, name: str = "Authorization") -> dict[str, str]:
    return {} if token is None else {name: f"Bearer {token}"}
