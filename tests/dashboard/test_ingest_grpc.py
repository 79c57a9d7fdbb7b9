"""OTLP over gRPC, on a socket."""

from __future__ import annotations

import gzip
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import pytest
from google.rpc.error_details_pb2 import RetryInfo  # type: ignore[import-untyped]  # it ships no py.typed
from grpclib.client import Channel, UnaryUnaryMethod
from grpclib.const import Cardinality, Status
from grpclib.exceptions import GRPCError

from services.apphost.ports import free_ports
from services.dashboard.ingest.grpc import receivers
from services.dashboard.ingest.intake import SIGNALS, Intake, Signal
from services.dashboard.store import Store
from services.dashboard.token import Access
from services.defaults.grpc import GrpcServer
from services.defaults.health import Health
from tests.dashboard.support import Clock, log, logs, metrics, span, spans

MAX_BODY_BYTES = 20_000
TIMEOUT_S = 10
TRACES, METRICS, LOGS = SIGNALS


@pytest.fixture
def intake(store: Store, clock: Clock) -> Iterator[Intake]:
    with ThreadPoolExecutor(1) as thread:
        yield Intake(store.writer, thread, max_body_bytes=MAX_BODY_BYTES, max_inflated_bytes=40_000, clock_ns=clock)


@asynccontextmanager
async def receiving(intake: Intake, token: str = "") -> AsyncIterator[Channel]:
    """A channel to the receivers."""
    (port,) = free_ports(1)
    health = Health("dashboard", "test", {})
    server = GrpcServer(receivers(intake, Access(token)), health, max_message_bytes=MAX_BODY_BYTES)
    await server.start("127.0.0.1", port)
    channel = Channel("127.0.0.1", port)
    try:
        yield channel
    finally:
        channel.close()
        await server.stop(1.0)


async def export(channel: Channel, signal: Signal, request: Any, **options: Any) -> Any:
    method: Any = UnaryUnaryMethod(channel, f"/{signal.service}/Export", signal.request, signal.response)
    return await method(request, timeout=TIMEOUT_S, **options)


async def export_bytes(
    channel: Channel,
    signal: Signal,
    body: bytes,
    *,
    compressed: bool = False,
    announced: int | None = None,
    end: bool = True,
) -> Any:
    """Sends a message as it is, or gzip's work, as gRPC frames it; or only says that one of some length will come."""
    path = f"/{signal.service}/Export"
    async with channel.request(
        path, Cardinality.UNARY_UNARY, signal.request, signal.response, timeout=TIMEOUT_S
    ) as call:
        await call.send_request()
        prefix = bytes([compressed]) + (announced or len(body)).to_bytes(4, "big")
        await call._stream.send_data(prefix + body, end_stream=end)
        call._send_message_done = call._end_done = True
        return await call.recv_message()


async def refusal(call: Any) -> GRPCError:
    with pytest.raises(GRPCError) as caught:
        await call
    return caught.value


async def test_all_three_services_keep_what_was_sent(intake: Intake, store: Store) -> None:
    sent = metrics()
    sent.resource_metrics[0].scope_metrics[0].metrics.add(name="m").gauge.data_points.add(as_int=1)
    async with receiving(intake) as channel:
        await export(channel, TRACES, spans(*[span(number) for number in range(1, 40)]))
        await export(channel, LOGS, logs(log("x")))
        await export(channel, METRICS, sent)
    stats = await store.stats()
    assert (stats.spans.rows, stats.logs.rows, stats.points.rows) == (39, 1, 1)


async def test_a_collector_may_compress(intake: Intake, store: Store) -> None:
    async with receiving(intake) as channel:
        await export_bytes(channel, LOGS, gzip.compress(logs(log("x")).SerializeToString()), compressed=True)
    assert (await store.stats()).logs.rows == 1


async def test_what_is_not_kept_of_a_request_is_told(intake: Intake) -> None:
    bad = span(1)
    bad.span_id = b""
    async with receiving(intake) as channel:
        assert (await export(channel, TRACES, spans(bad))).partial_success.rejected_spans == 1


async def test_too_large_a_message_is_refused(intake: Intake) -> None:
    async with receiving(intake) as channel:
        error = await refusal(export(channel, LOGS, logs(log("x" * (MAX_BODY_BYTES + 1)))))
    assert error.status is Status.RESOURCE_EXHAUSTED


@pytest.mark.parametrize(
    ("body", "compressed"),
    [
        (b"\xff\xff\xff", False),
        (b"\x0a", False),
        (b"not gzip", True),
        (gzip.compress(b"\0" * 1_000_000), True),
    ],
)
async def test_what_is_no_message_is_refused(intake: Intake, body: bytes, compressed: bool) -> None:
    async with receiving(intake) as channel:
        error = await refusal(export_bytes(channel, TRACES, body, compressed=compressed))
    assert error.status is Status.INVALID_ARGUMENT


async def test_more_than_there_is_room_for_is_told_to_come_again(intake: Intake, store: Store) -> None:
    async with receiving(intake) as channel:
        with intake.budget.held(6 * MAX_BODY_BYTES):
            error = await refusal(export(channel, LOGS, logs(log("x"))))
        await export(channel, LOGS, logs(log("x")))
    retries = [detail.retry_delay.seconds for detail in error.details or () if isinstance(detail, RetryInfo)]
    assert (error.status, retries) == (Status.UNAVAILABLE, [1])
    stats = await store.stats()
    assert (stats.refused, stats.logs.rows) == (1, 1)


async def test_a_message_that_does_not_come_takes_up_no_room_for_long(
    intake: Intake, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("services.dashboard.ingest.grpc.BODY_TIMEOUT_S", 0.01)
    async with receiving(intake) as channel:
        error = await refusal(export_bytes(channel, LOGS, b"", announced=MAX_BODY_BYTES, end=False))
        assert error.status is Status.UNAVAILABLE
        with intake.budget.held(6 * MAX_BODY_BYTES) as granted:
            assert granted


async def test_from_afar_the_token_is_needed(intake: Intake) -> None:
    token = "t" * 32
    async with receiving(intake, token) as channel:
        error = await refusal(export(channel, LOGS, logs()))
        assert error.status is Status.UNAUTHENTICATED
        await export(channel, LOGS, logs(), metadata={"authorization": f"Bearer {token}"})
