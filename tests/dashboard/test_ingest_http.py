"""OTLP over HTTP, through the application: what is kept, and what a sender is told."""

from __future__ import annotations

import asyncio
import gzip
import json
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # it ships no py.typed
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceResponse
from quart import Quart, Response

from services.dashboard.ingest.encodings import Encoding
from services.dashboard.ingest.http import create_otlp_app
from services.dashboard.ingest.intake import SIGNALS, Intake
from services.dashboard.store import Store
from services.dashboard.store.batches import Batch
from services.dashboard.store.rows import LogQuery, TraceQuery
from services.dashboard.token import Access
from services.defaults.health import Health
from tests.dashboard.support import Clock, log, logs, metrics, span, spans

PROTOBUF = {"Content-Type": "application/x-protobuf"}
JSON = {"Content-Type": "application/json"}
MAX_BODY_BYTES = 20_000


@pytest.fixture
def threads() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(1) as threads:
        yield threads


@pytest.fixture
def intake(store: Store, clock: Clock, threads: ThreadPoolExecutor) -> Intake:
    return Intake(store.writer, threads, max_body_bytes=MAX_BODY_BYTES, max_inflated_bytes=100_000, clock_ns=clock)


@pytest.fixture
def app(intake: Intake, store: Store) -> Quart:
    return create_otlp_app(intake, Access(""), Health("dashboard", "test", {"store": store.check}))


async def post(app: Quart, path: str, body: bytes, headers: dict[str, str]) -> Any:
    return await app.test_client().post(path, data=body, headers={"Host": "localhost", **headers})


async def status_of(answer: Response) -> Any:
    status = Status()
    status.ParseFromString(await answer.get_data(as_text=False))
    return status


@pytest.mark.parametrize(
    ("path", "request_of"), [("/v1/traces", spans(span(1))), ("/v1/logs", logs(log("x"))), ("/v1/metrics", metrics())]
)
@pytest.mark.parametrize("gzipped", [False, True])
async def test_what_was_sent_has_been_kept_when_the_answer_comes(
    app: Quart, store: Store, path: str, request_of: Message, gzipped: bool
) -> None:
    body = request_of.SerializeToString()
    headers = {**PROTOBUF, **({"Content-Encoding": "gzip"} if gzipped else {})}
    answer = await post(app, path, gzip.compress(body) if gzipped else body, headers)
    assert (answer.status_code, answer.content_type) == (200, "application/x-protobuf")
    assert await answer.get_data() == b""
    stats = await store.stats()
    assert stats.spans.rows == (path == "/v1/traces")
    assert stats.logs.rows == (path == "/v1/logs")


async def test_json_is_answered_in_json(app: Quart, store: Store) -> None:
    message = MessageToDict(logs(log("kept")))
    answer = await post(app, "/v1/logs", json.dumps(message).encode(), JSON)
    assert (answer.status_code, answer.content_type, await answer.get_json()) == (200, "application/json", {})
    assert [line.body for line in (await store.find_logs(LogQuery())).lines] == ["kept"]


async def test_what_is_not_kept_of_a_request_is_told(app: Quart, store: Store) -> None:
    bad = span(2)
    bad.trace_id = b""
    answer = await post(app, "/v1/traces", spans(span(1), bad).SerializeToString(), PROTOBUF)
    response = ExportTraceServiceResponse.FromString(await answer.get_data(as_text=False))
    assert answer.status_code == 200
    assert response.partial_success.rejected_spans == 1
    assert response.partial_success.error_message == "Not kept: a span has no ids."
    stats = await store.stats()
    assert (stats.spans.received, stats.spans.rejected) == (2, 1)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        (PROTOBUF, b"\xff\xff\xff", 400),
        (JSON, b'{"resourceSpans":', 400),
        (PROTOBUF | {"Content-Encoding": "gzip"}, b"not gzip", 400),
        (PROTOBUF | {"Content-Encoding": "gzip"}, gzip.compress(b"\0" * 1_000_000), 413),
        (PROTOBUF, b"\0" * (MAX_BODY_BYTES + 1), 413),
        ({"Content-Type": "text/plain"}, b"x", 415),
        ({}, b"x", 415),
        (PROTOBUF | {"Content-Encoding": "br"}, b"x", 415),
    ],
)
async def test_what_cannot_be_taken_is_refused_with_a_status(
    app: Quart, headers: dict[str, str], body: bytes, status: int
) -> None:
    answer = await post(app, "/v1/traces", body, headers)
    assert answer.status_code == status
    if headers == JSON:
        assert (await answer.get_json())["message"]
    else:
        assert (await status_of(answer)).message


async def test_the_receiver_takes_posts_only(app: Quart) -> None:
    answer = await app.test_client().get("/v1/traces", headers={"Host": "localhost"})
    assert (answer.status_code, answer.headers["Allow"]) == (405, "POST")


async def test_markup_is_kept_as_the_text_it_is(app: Quart, store: Store) -> None:
    await post(app, "/v1/traces", spans(span(1, name="<script>alert(1)</script>")).SerializeToString(), PROTOBUF)
    assert (await store.find_traces(TraceQuery())).traces[0].root_name == "<script>alert(1)</script>"


async def test_more_than_there_is_room_for_is_told_to_come_again(app: Quart, intake: Intake, store: Store) -> None:
    with intake.budget.held(5 * MAX_BODY_BYTES), intake.budget.held(MAX_BODY_BYTES - 10):
        answer = await post(app, "/v1/traces", spans(span(1)).SerializeToString(), PROTOBUF)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")
    assert (await status_of(answer)).code == 14
    assert (await store.stats()).refused == 1
    again = await post(app, "/v1/traces", spans(span(1)).SerializeToString(), PROTOBUF)
    assert again.status_code == 200


@pytest.fixture
async def slow_store(store: Store) -> AsyncIterator[Store]:
    """A store whose writer does not come to its turn: as many rows wait as may."""
    await store.writer.submit(Batch(), "logs")
    store.writer.pending_rows += 10_000
    yield store
    store.writer.pending_rows -= 10_000


async def test_a_full_queue_refuses(slow_store: Store, app: Quart) -> None:
    answer = await post(app, "/v1/logs", logs(log("x")).SerializeToString(), PROTOBUF)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "1")


async def test_a_sender_that_hangs_up_does_not_stop_what_it_sent_from_being_kept(intake: Intake, store: Store) -> None:
    seen = store.changes.version("spans")
    taking = asyncio.create_task(intake.take(SIGNALS[0], spans(span(1)).SerializeToString(), Encoding()))
    while not store.writer.pending_rows:
        await asyncio.sleep(0)
    taking.cancel()
    assert await store.changes.wait("spans", seen) == seen + 1
    assert (await store.stats()).spans.rows == 1


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example", "169.254.1.1", ""])
async def test_a_name_that_is_not_this_machines_is_refused(app: Quart, host: str) -> None:
    answer = await post(app, "/v1/traces", b"", {**PROTOBUF, "Host": host})
    assert answer.status_code == 403


async def test_another_sites_page_cannot_post(app: Quart) -> None:
    answer = await post(app, "/v1/traces", b"", {**PROTOBUF, "Origin": "https://evil.example"})
    assert answer.status_code == 403


async def test_from_afar_the_token_is_needed(intake: Intake) -> None:
    token = "t" * 32
    app = create_otlp_app(intake, Access(token), Health("dashboard", "test", {}))
    far = {**PROTOBUF, "Host": "telemetry.example"}
    assert (await post(app, "/v1/logs", b"", far)).status_code == 401
    assert (await post(app, "/v1/logs", b"", far | {"Authorization": "Bearer wrong"})).status_code == 401
    assert (await post(app, "/v1/logs", b"", far | {"Authorization": f"Bearer {token}"})).status_code == 200
    assert (await app.test_client().get("/health", headers=far)).status_code == 200


async def test_whoever_has_no_token_takes_up_no_room(intake: Intake) -> None:
    app = create_otlp_app(intake, Access("t" * 32), Health("dashboard", "test", {}))
    with intake.budget.held(6 * MAX_BODY_BYTES):
        answer = await post(app, "/v1/logs", logs(log("x")).SerializeToString(), PROTOBUF)
    assert answer.status_code == 401
