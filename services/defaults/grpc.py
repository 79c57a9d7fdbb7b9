"""What every gRPC server does alike: errors as statuses, deadlines, spans, a size cap, health, reflection
and a stop that lets calls in flight finish (grpclib's own `close` cancels them).
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Coroutine
from typing import TYPE_CHECKING, Any, Final

from grpclib.const import Status
from grpclib.events import RecvRequest, listen
from grpclib.exceptions import GRPCError, StreamTerminatedError
from grpclib.health.check import ServiceCheck
from grpclib.health.service import OVERALL
from grpclib.health.service import Health as HealthService
from grpclib.reflection.service import ServerReflection
from grpclib.server import Server

from services.defaults.auth import Principal, TokenVerifier, bearer_token
from services.defaults.deadline import deadline_scope
from services.defaults.errors import AppError
from services.defaults.grpc_errors import to_grpc_error
from services.defaults.health import Health
from services.defaults.telemetry import rpc_server_span

if TYPE_CHECKING:
    from grpclib._typing import IServable

MAX_MESSAGE_BYTES: Final = 1024 * 1024
HEALTH_TTL_S: Final = 1.0
ENDLESS: Final = ("/grpc.health.v1.", "/grpc.reflection.")  # streams here end when the client goes, if it ever does

MethodHandler = Callable[[Any], Coroutine[Any, Any, None]]
logger = logging.getLogger(__name__)


class GrpcServer:
    """Serves `handlers` together with `grpc.health.v1` and server reflection."""

    def __init__(
        self, handlers: Collection[IServable], health: Health, *, max_message_bytes: int = MAX_MESSAGE_BYTES
    ) -> None:
        self._health = health
        self._max_message_bytes = max_message_bytes
        self._refusing = False
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()
        self._server = Server(with_health_and_reflection(handlers, health))
        listen(self._server, RecvRequest, self._on_request)

    async def start(self, host: str, port: int) -> None:
        await self._server.start(host, port)

    async def stop(self, grace_s: float) -> None:
        """Refuses new calls, waits up to `grace_s` for those in flight, then closes.

        Who watches health, or keeps a stream of reflection open, is cut off without a wait.
        """
        self._refusing = True
        try:
            async with asyncio.timeout(grace_s):
                await self._idle.wait()
        except TimeoutError:
            logger.warning("calls cut off", extra={"in_flight": self._in_flight})
        self._server.close()
        await self._server.wait_closed()

    async def _on_request(self, event: RecvRequest) -> None:
        call = wrap_call(event, self._max_message_bytes)
        waited_for = not event.method_name.startswith(ENDLESS)
        event.method_func = self._admitted(self._counted(call) if waited_for else call)  # type: ignore[assignment] # its protocol names the argument

    def _admitted(self, call: MethodHandler) -> MethodHandler:
        async def admitted(stream: Any) -> None:
            if self._refusing:
                raise GRPCError(Status.UNAVAILABLE, "This instance is stopping.")
            await call(stream)

        return admitted

    def _counted(self, call: MethodHandler) -> MethodHandler:
        async def counted(stream: Any) -> None:
            self._in_flight += 1
            self._idle.clear()
            try:
                await call(stream)
            finally:
                self._in_flight -= 1
                if not self._in_flight:
                    self._idle.set()

        return counted


def with_health_and_reflection(handlers: Collection[IServable], health: Health) -> list[IServable]:
    """The handlers, plus `grpc.health.v1` told by `health`, plus reflection of them all."""

    async def ready() -> bool:
        return (await health.report())[0]

    check = ServiceCheck(ready, check_ttl=HEALTH_TTL_S)
    service = HealthService({OVERALL: [check], **{handler: [check] for handler in handlers}})
    return ServerReflection.extend([*handlers, service])


def wrap_call(event: RecvRequest, max_message_bytes: int = MAX_MESSAGE_BYTES) -> MethodHandler:
    """One call with its span, its deadline, a bound on what it reads, and its errors as statuses."""
    service, _, method = event.method_name.strip("/").rpartition("/")
    metadata = {key: value for key, value in event.metadata.items() if isinstance(value, str)}
    handler: MethodHandler = event.method_func
    time_left_s = event.deadline.time_remaining() if event.deadline else None

    async def call(stream: Any) -> None:
        cap_message_size(stream, max_message_bytes)
        refuse_compressed(stream)
        with rpc_server_span(service, method, metadata), deadline_scope(time_left_s):
            try:
                await handler(stream)
            except AppError as error:
                raise to_grpc_error(error) from error
            except (GRPCError, StreamTerminatedError):
                raise
            except Exception as error:
                logger.exception("unexpected error", extra={"rpc": event.method_name})
                raise GRPCError(Status.INTERNAL, "Something went wrong on our side.") from error

    return call


def service_principal(stream: Any, verifier: TokenVerifier) -> Principal:
    """Which service calls. Raises `Unauthorized` without a good service token in the metadata."""
    return verifier.verify(bearer_token(stream.metadata.get("authorization")))


def cap_message_size(stream: Any, max_bytes: int = MAX_MESSAGE_BYTES) -> None:
    """Refuses a message over `max_bytes` before it is read: grpclib has no bound of its own."""
    receive = stream._stream.recv_data

    async def recv_data(size: int) -> Any:
        if size > max_bytes:
            raise GRPCError(Status.RESOURCE_EXHAUSTED, f"At most {max_bytes} bytes a message.")
        return await receive(size)

    stream._stream.recv_data = recv_data


def refuse_compressed(stream: Any) -> None:
    """Refuses a compressed message as gRPC wants it (UNIMPLEMENTED): grpclib only says that it cannot."""
    receive = stream.recv_message

    async def recv_message() -> Any:
        try:
            return await receive()
        except NotImplementedError as error:
            raise GRPCError(Status.UNIMPLEMENTED, "Send messages as they are, not compressed.") from error

    stream.recv_message = recv_message
