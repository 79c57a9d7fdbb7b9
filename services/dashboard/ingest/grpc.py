"""OTLP over gRPC: https://opentelemetry.io/docs/specs/otlp/#otlpgrpc.

A message is read as bytes and parsed beside the event loop, as over HTTP; grpclib itself would parse it here, and
knows no compression.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from grpclib.const import Cardinality, Handler

from services.dashboard.ingest.encodings import Encoding, Malformed
from services.dashboard.ingest.intake import SIGNALS, Intake, Signal
from services.dashboard.token import Access
from services.defaults.errors import Unauthorized, Unavailable
from services.defaults.grpc import GrpcServer
from services.defaults.health import Health
from services.defaults.http import BODY_TIMEOUT_S
from services.defaults.run import Background

if TYPE_CHECKING:
    from grpclib._typing import IServable

# https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md: a flag for compression, and four bytes of length.
PREFIX_BYTES: Final = 5


class Receiver:
    """One of OTLP's three services, with its one method."""

    def __init__(self, signal: Signal, intake: Intake, access: Access) -> None:
        self._signal = signal
        self._intake = intake
        self._access = access

    def __mapping__(self) -> dict[str, Handler]:
        """What grpclib asks a service for."""
        signal = self._signal
        method = Handler(self._export, Cardinality.UNARY_UNARY, signal.request, signal.response)
        return {f"/{signal.service}/Export": method}

    async def _export(self, stream: Any) -> None:
        if not self._access.admits_bearer(str(stream.metadata.get("authorization", ""))):
            raise Unauthorized("The dashboard's token is needed here.")
        # What bounds the length of a message is wrapped around this very call (`cap_message_size`).
        prefix = await stream._stream.recv_data(PREFIX_BYTES)
        if len(prefix) != PREFIX_BYTES:
            raise Malformed("There is no message.")
        size = int.from_bytes(prefix[1:], "big")
        with self._intake.budget.held(size) as granted:
            if not granted:
                self._intake.refuse()
            body = await _receive(stream, size)
            answer = await self._intake.take(self._signal, body, Encoding(gzip=bool(prefix[0])))
        await stream.send_message(answer)


async def _receive(stream: Any, size: int) -> bytes:
    """Raises `Unavailable` where it takes so long that others would have to wait for the room that it takes."""
    if not size:
        return b""
    try:
        async with asyncio.timeout(BODY_TIMEOUT_S):
            body: bytes = await stream._stream.recv_data(size)
    except TimeoutError:
        raise Unavailable("The message took too long to arrive.") from None
    return body


def receivers(intake: Intake, access: Access) -> Sequence[IServable]:
    """The three services."""
    return [Receiver(signal, intake, access) for signal in SIGNALS]


def grpc_receiver(
    intake: Intake, access: Access, health: Health, *, host: str, port: int, grace_s: float
) -> Background:
    """Serves the receivers beside the pages until told to stop."""

    async def serve_otlp(stop: asyncio.Event) -> None:
        server = GrpcServer(receivers(intake, access), health, max_message_bytes=intake.max_body_bytes)
        await server.start(host, port)
        await stop.wait()
        await server.stop(grace_s)

    return serve_otlp
