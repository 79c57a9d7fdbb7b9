"""HTTP calls between services: what goes out, what comes back, and as which error."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from aiohttp import web
from hypercorn.config import Config
from opentelemetry.sdk.trace import TracerProvider

from services.defaults.deadline import DEADLINE_HEADER, deadline_scope, parse_deadline
from services.defaults.discovery import Endpoint
from services.defaults.errors import AppError, Conflict, Invalid, Unavailable
from services.defaults.resilience import IDLE_CONNECTION_S, parse_retry_after
from tests.defaults.loopback import serving
from tests.defaults.scripted import Script, answer, client_of, problem, scripted


class TestRequest:
    async def test_carries_body_credentials_key_and_parameters(self) -> None:
        async with scripted(answer(201, {"id": 1}, X_Kind="new")) as (script, shop):
            got = await shop.request(
                "POST",
                "/orders/ä b?c",
                json={"n": 1},
                params={"first": "5", "after": "a&b"},
                token="jwt",
                idempotency_key="key-1",
                headers={"X-Extra": "1"},
            )
        assert (got.status, got.body, got.headers["x-kind"]) == (201, {"id": 1}, "new")
        (request,) = script.requests
        assert (request.method, request.path) == ("POST", "/orders/ä b?c")
        assert dict(request.query) == {"first": "5", "after": "a&b"}
        assert json.loads(script.bodies[0]) == {"n": 1}
        assert request.headers["Authorization"] == "Bearer jwt"
        assert request.headers["Idempotency-Key"] == "key-1"
        assert request.headers["X-Extra"] == "1"

    async def test_carries_trace_and_deadline(self) -> None:
        async with scripted(answer(200)) as (script, shop):
            with TracerProvider().get_tracer("test").start_as_current_span("click") as span, deadline_scope(0.2):
                await shop.request("GET", "/")
            await shop.request("GET", "/")
        inside, outside = script.requests
        assert inside.headers["traceparent"].split("-")[1] == f"{span.get_span_context().trace_id:032x}"
        assert 0 < (parse_deadline(inside.headers[DEADLINE_HEADER]) or 0) <= 0.2
        assert outside.headers[DEADLINE_HEADER] == "300"
        assert "Authorization" not in outside.headers
        assert "traceparent" not in outside.headers

    @pytest.mark.parametrize(
        ("content", "content_type", "body"),
        [
            (b"", "application/json", None),
            (b"[1]", "application/json", [1]),
            (b'{"a":1}', "application/vnd.x+json", {"a": 1}),
            (b"hello \xff", "text/plain", "hello �"),
        ],
    )
    async def test_reads_what_the_answer_holds(self, content: bytes, content_type: str, body: Any) -> None:
        given = web.Response(body=content, headers={"Content-Type": content_type})
        async with scripted(given) as (_, shop):
            assert (await shop.request("GET", "/")).body == body

    async def test_keeps_no_cookies_and_follows_no_redirect(self) -> None:
        script = Script(answer(200, Set_Cookie="a=b"), answer(302, Location="/elsewhere"))
        async with serving(script.respond) as endpoint:
            by_name = Endpoint("localhost", endpoint.port)  # a jar would ignore cookies of a bare address
            async with client_of(by_name) as shop:
                await shop.request("GET", "/")
                with pytest.raises(Unavailable):
                    await shop.request("GET", "/", token="jwt")
        assert [request.path for request in script.requests] == ["/", "/"]
        assert "Cookie" not in script.requests[1].headers

    async def test_an_answer_too_large_or_unreadable_is_unavailable(self) -> None:
        unreadable = web.Response(body=b"{", headers={"Content-Type": "application/json"})
        async with scripted(answer(200, "x" * 10_001), unreadable) as (script, shop):
            for _ in range(2):
                with pytest.raises(Unavailable):
                    await shop.request("GET", "/")
        assert script.count == 2

    def test_idle_connections_go_before_the_server_closes_them(self) -> None:
        assert Config().keep_alive_timeout > IDLE_CONNECTION_S


class TestErrors:
    async def test_problem_documents_become_errors_of_the_tree(self) -> None:
        fields = answer(422, {"detail": "No.", "code": "INVALID", "fields": {"email": "Wrong."}})
        async with scripted(fields, problem(409, "SOLD_OUT"), answer(402, {"x": 1})) as (_, shop):
            with pytest.raises(Invalid) as invalid:
                await shop.request("POST", "/")
            with pytest.raises(Conflict, match="Because of SOLD_OUT") as conflict:
                await shop.request("POST", "/")
            with pytest.raises(Conflict) as plain:
                await shop.request("POST", "/")
        assert invalid.value.fields == {"email": "Wrong."}
        assert conflict.value.code == "SOLD_OUT"
        assert plain.value.status == 402

    @pytest.mark.parametrize("status", [400, 401, 403, 404, 409, 422])
    async def test_a_refusal_is_final(self, status: int) -> None:
        async with scripted(problem(status, "NO", Retry_After="0")) as (script, shop):
            with pytest.raises(AppError) as caught:
                await shop.request("GET", "/", idempotency_key="k")
        assert script.count == 1
        assert caught.value.status == status


@pytest.mark.parametrize(
    ("value", "seconds"),
    [
        (None, None),
        ("5", 5.0),
        ("0", 0.0),
        ("Tue, 24 Nov 2026 12:00:30 GMT", 30.0),
        ("Tue, 24 Nov 2026 11:00:00 GMT", 0.0),
        ("-1", None),
        ("soon", None),
        ("1.5", None),
        ("", None),
    ],
)
def test_retry_after_is_read_in_both_its_forms(value: str | None, seconds: float | None) -> None:
    assert parse_retry_after(value, datetime(2026, 11, 24, 12, tzinfo=UTC)) == seconds
