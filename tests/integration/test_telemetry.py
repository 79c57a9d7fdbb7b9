"""Telemetry as a contract: what every service tells of a purchase, and that it tells no secret.

Dashboards, alerts and people rely on these names: whoever changes one changes it here, in docs/observability.md
and in the dashboards.
"""

from __future__ import annotations

import base64
import re
import secrets
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote
from uuid import uuid4

import aiohttp
import pytest

from services.apphost.system import System, running_system
from tests.conftest import run
from tests.integration.shop import GOOD_CARD, SESSION, Shop, eventually, open_shop, order_input
from tests.otlp import Collector, PointView, SpanView, running_collector

pytestmark = pytest.mark.integration

SERVICES: Final = ("gateway", "catalog", "identity", "ordering", "payments", "notifications", "mailbox")
LOGIN: Final = f"mutation($input: LoginInput!) {{ login(input: $input) {{ {SESSION} }} }}"
PLACE: Final = "mutation($input: PlaceOrderInput!) { placeOrder(input: $input) { id } }"
CANCEL: Final = "mutation($id: ID!) { cancelOrder(id: $id) { status } }"
DECLINED: Final = {"number": "4000000000000002", "expiry": "11/39", "cvc": "731"}

# Which span is whose parent, in the trace of an order that is placed, and of one that is paid.
PLACED: Final = {
    ("", "gateway: POST /graphql"),
    ("gateway: POST /graphql", "gateway: mutation placeOrder"),
    ("gateway: mutation placeOrder", "gateway: SET INCRBY PTTL"),
    ("gateway: mutation placeOrder", "gateway: POST ordering"),
    ("gateway: POST ordering", "ordering: POST /orders"),
    ("ordering: POST /orders", "ordering: INSERT idempotency_keys"),
    ("ordering: POST /orders", "ordering: catalog/HoldTickets"),
    ("ordering: catalog/HoldTickets", "catalog: ticketflow.catalog.v1.Catalog/HoldTickets"),
    ("catalog: ticketflow.catalog.v1.Catalog/HoldTickets", "catalog: INSERT holds"),
    ("catalog: ticketflow.catalog.v1.Catalog/HoldTickets", "catalog: MGET"),
    ("ordering: POST /orders", "ordering: INSERT orders"),
    ("ordering: POST /orders", "ordering: INSERT outbox"),
    ("ordering: POST /orders", "ordering: send order.created.v1"),
    ("ordering: send order.created.v1", "notifications: process order.created.v1"),
    ("notifications: process order.created.v1", "notifications: SET"),
    ("notifications: process order.created.v1", "notifications: write mail"),
    ("notifications: process order.created.v1", "notifications: send mail"),
}
PAID: Final = {
    ("", "gateway: POST /graphql"),
    ("gateway: POST /graphql", "gateway: mutation payOrder"),
    ("gateway: mutation payOrder", "gateway: POST ordering"),
    ("gateway: POST ordering", "ordering: POST /orders/{order_id}/payment"),
    ("ordering: POST /orders/{order_id}/payment", "ordering: INSERT payments"),
    ("ordering: POST /orders/{order_id}/payment", "ordering: POST payments"),
    ("ordering: POST payments", "payments: POST /charges"),
    ("ordering: POST /orders/{order_id}/payment", "ordering: catalog/ConfirmHold"),
    ("ordering: catalog/ConfirmHold", "catalog: ticketflow.catalog.v1.Catalog/ConfirmHold"),
    ("catalog: ticketflow.catalog.v1.Catalog/ConfirmHold", "catalog: UPDATE tickets"),
    ("ordering: POST /orders/{order_id}/payment", "ordering: UPDATE orders"),
    ("ordering: POST /orders/{order_id}/payment", "ordering: INSERT outbox"),
    ("ordering: POST /orders/{order_id}/payment", "ordering: send order.confirmed.v1"),
    ("ordering: send order.confirmed.v1", "notifications: process order.confirmed.v1"),
    ("notifications: process order.confirmed.v1", "notifications: send mail"),
}
METRICS: Final = (
    *((service, "http.server.request.duration", "s") for service in ("gateway", "identity", "ordering", "payments")),
    *((service, "process.cpu.time", "s") for service in SERVICES),
    *((service, "process.memory.usage", "By") for service in SERVICES),
    *((service, "event_loop.lag", "s") for service in SERVICES),
    *((service, "otel.sdk.exporter.span.exported", "{span}") for service in SERVICES),
    ("gateway", "http.server.active_requests", "{request}"),
    ("gateway", "http.client.request.duration", "s"),
    ("gateway", "rpc.client.call.duration", "s"),
    ("gateway", "graphql.operation.duration", "s"),
    ("gateway", "redis.client.operation.duration", "s"),
    ("catalog", "rpc.server.call.duration", "s"),
    ("catalog", "db.client.operation.duration", "s"),
    ("catalog", "catalog.cache.requests", "{key}"),
    ("catalog", "holds.active", "{hold}"),
    ("catalog", "tickets.left", "{ticket}"),
    ("identity", "accounts.opened", "{account}"),
    ("identity", "logins.succeeded", "{login}"),
    ("identity", "logins.refused", "{login}"),
    ("ordering", "orders.placed", "{order}"),
    ("ordering", "orders.confirmed", "{order}"),
    ("ordering", "orders.refused", "{order}"),
    ("ordering", "orders.cancelled", "{order}"),
    ("ordering", "orders.time_to_pay", "s"),
    ("ordering", "payments.outcomes", "{payment}"),
    ("ordering", "outbox.lag", "s"),
    ("ordering", "outbox.depth", "{event}"),
    ("ordering", "messaging.client.sent.messages", "{message}"),
    ("ordering", "messaging.client.operation.duration", "s"),
    ("notifications", "messaging.client.consumed.messages", "{message}"),
    ("notifications", "messaging.process.duration", "s"),
    ("notifications", "notifications.mails", "{mail}"),
    ("notifications", "queue.depth", "{message}"),
)


@dataclass(frozen=True)
class Story:
    """A person who buys, as the collector heard of it, and what of theirs must not be heard of."""

    system: System
    collector: Collector
    order: dict[str, Any]
    secrets: dict[str, str]

    def trace_of(self, operation: str) -> list[SpanView]:
        """The trace in which the order's operation is."""
        spans = self.collector.spans()
        (found,) = {span.trace_id for span in spans if span.name == operation and self.is_about_the_order(span)}
        return [span for span in spans if span.trace_id == found]

    def is_about_the_order(self, span: SpanView) -> bool:
        return bool(span.attributes.get("ticketflow.order.id") == self.order["id"])


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    with running_collector() as collector:
        env = {"OTEL_EXPORTER_OTLP_ENDPOINT": collector.url, "OTEL_METRIC_EXPORT_INTERVAL": "2000"}
        with running_system(tmp_path_factory.mktemp("telemetry"), without=("dashboard",), env=env) as system:
            yield run(_tell(system, collector))


async def _tell(system: System, collector: Collector) -> Story:
    async with open_shop(system.urls["gateway"]) as shop:
        session = await shop.register()
        shop.token = (await _log_in(shop, session))["accessToken"]
        order = await _buy(shop)
        marked = await _leave_marks(shop, system)
        marked |= {key: session[key] for key in ("password", "email", "accessToken", "refreshToken")}
        marked |= {"second access token": shop.token}
    story = Story(system, collector, order, marked)
    await until_told(lambda: _is_mailed(story, "mutation placeOrder") and _is_mailed(story, "mutation payOrder"))
    await until_told(lambda: {p.service for p in collector.points("otel.sdk.exporter.span.exported")} == set(SERVICES))
    return story


def _is_mailed(story: Story, operation: str) -> bool:
    return any(span.name == "send mail" for span in story.trace_of(operation))


async def _log_in(shop: Shop, session: dict[str, Any]) -> dict[str, Any]:
    credentials = {"email": session["email"], "password": session["password"]}
    assert await shop.error_code(LOGIN, input=credentials | {"password": "another word"}) == "UNAUTHENTICATED"
    logged_in: dict[str, Any] = (await shop.data(LOGIN, input=credentials))["login"]
    return logged_in


async def _buy(shop: Shop) -> dict[str, Any]:
    """One order refused, one declined and cancelled, and one paid: the one that the story is about."""
    concert = await shop.concert_on_sale()
    unknown = {**concert, "tiers": [{"id": str(uuid4())}]}
    assert (await shop.graphql(PLACE, input=order_input(unknown, 1)))["errors"]
    given_up = await shop.place(concert)
    assert (await shop.pay(given_up["id"], DECLINED))["errors"]
    await shop.data(CANCEL, id=given_up["id"])
    order = await shop.place(concert)
    assert not (await shop.pay(order["id"])).get("errors")
    async with shop.http.get(f"{shop.gateway}/concerts/{concert['slug']}") as page:
        assert page.status == 200
    return order


async def _leave_marks(shop: Shop, system: System) -> dict[str, str]:
    """Secrets in every place where a person, or a program that is wrong, may put one."""
    marks = {
        "typed password": f"pw-{secrets.token_hex(8)}",
        "typed card": "5555555555554444",
        "typed address": f"marked.{secrets.token_hex(6)}@example.com",
        "forged token": f"eyJ{secrets.token_hex(8)}.eyJ{secrets.token_hex(8)}.{secrets.token_hex(8)}",
        "api key": secrets.token_hex(16),
    }
    address, password, token = marks["typed address"], marks["typed password"], marks["forged token"]
    card = {"number": marks["typed card"], "expiry": "12/40", "cvc": "123"}
    login = f'mutation {{ login(input: {{email: "{address}", password: "{password}"}}) {{ {SESSION} }} }}'
    await shop.post_graphql({"query": login})
    await shop.post_graphql({"query": login.replace("password:", "pass:"), "operationName": "Login"})
    await shop.post_graphql({"query": LOGIN, "variables": {"input": {"email": [address], "password": {"a": password}}}})
    await shop.pay("no-such-order", card)
    for path in (f"/concerts?q={quote(address)}", f"/concerts/{marks['typed card']}", f"/orders/{quote(address)}"):
        await _get(shop.http, shop.gateway + path, headers={"Cookie": f"tf_access={token}", "User-Agent": address})
    form = {"email": address, "password": password}
    async with shop.http.post(f"{shop.gateway}/login", data=form, headers={"Origin": shop.gateway}) as page:
        assert page.status in {200, 303, 401, 403, 422}
    for service in ("identity", "ordering", "payments"):
        for header in (f"Bearer {token}", f"Bearer {marks['api key']}", f"Basic {_basic(address, password)}"):
            await _get(shop.http, f"{system.urls[service]}/orders/{quote(address)}", headers={"Authorization": header})
    await _get(shop.http, f"{system.urls['mailbox']}/messages/{quote(address)}")
    return marks


def _basic(user: str, password: str) -> str:
    return base64.b64encode(f"{user}:{password}".encode()).decode()


async def _get(http: aiohttp.ClientSession, url: str, **options: Any) -> tuple[int, str]:
    async with http.get(url, **options) as answer:
        return answer.status, await answer.text()


async def until_told(ask: Callable[[], bool]) -> None:
    """Returns once the collector has heard it: exporters take a second or two."""

    async def answer() -> bool:
        try:
            return ask()
        except ValueError:
            return False  # there is no such trace yet

    await eventually(answer, within_s=30)


def edges(spans: Sequence[SpanView]) -> set[tuple[str, str]]:
    names = {span.span_id: f"{span.service}: {span.name}" for span in spans} | {"": ""}
    return {(names.get(span.parent_id, "lost"), names[span.span_id]) for span in spans}


@pytest.mark.parametrize(
    ("operation", "expected"), [("mutation placeOrder", PLACED), ("mutation payOrder", PAID)], ids=["placed", "paid"]
)
def test_one_trace_leads_from_the_click_to_the_mail(
    story: Story, operation: str, expected: set[tuple[str, str]]
) -> None:
    found = edges(story.trace_of(operation))
    assert expected - found == set()
    assert [edge for edge in found if edge[0] == "lost"] == []
    assert [child for parent, child in found if parent == ""] == ["gateway: POST /graphql"]


@pytest.mark.parametrize("operation", ["mutation placeOrder", "mutation payOrder"])
def test_spans_of_a_purchase_name_the_order_in_every_service(story: Story, operation: str) -> None:
    told = [span for span in story.trace_of(operation) if story.is_about_the_order(span)]
    assert {span.service for span in told} == {"gateway", "ordering", "catalog", "notifications"}
    numbers = {span.attributes.get("ticketflow.order.number") for span in told} - {None}
    assert numbers == {story.order["number"]}
    (charge, *_) = [s for s in story.trace_of("mutation payOrder") if s.service == "payments"]
    assert charge.attributes["ticketflow.order.number"] == story.order["number"]


def test_a_batch_of_the_relay_is_linked_to_the_traces_of_its_events(story: Story) -> None:
    batches = [span for span in story.collector.spans() if span.name == "relay outbox"]
    linked = {trace_id for batch in batches for trace_id in batch.linked}
    for operation in ("mutation placeOrder", "mutation payOrder"):
        spans = story.trace_of(operation)
        assert spans[0].trace_id in linked
        (sent,) = [span for span in spans if span.kind == "PRODUCER"]
        assert set(sent.linked) <= {batch.trace_id for batch in batches}
        assert sent.linked
    assert {batch.parent_id for batch in batches} == {""}


def test_a_page_has_a_span_of_its_own(story: Story) -> None:
    found = edges(story.collector.spans())
    assert ("gateway: GET /concerts/{slug}", "gateway: page concert") in found
    assert ("gateway: page concert", "gateway: query concert") in found


def test_a_refusal_carries_its_code_and_is_no_failure(story: Story) -> None:
    spans = story.collector.spans()
    (declined,) = [s for s in spans if s.attributes.get("error.type") == "PAYMENT_DECLINED" and s.kind == "SERVER"]
    assert (declined.service, declined.failed) == ("ordering", False)
    refused = [s for s in spans if s.name == "mutation login" and "error.type" in s.attributes]
    assert {s.attributes["error.type"] for s in refused} >= {"UNAUTHENTICATED"}
    assert not any(s.failed for s in refused)


async def test_probes_and_files_are_not_traced(story: Story) -> None:
    async with aiohttp.ClientSession() as http:
        for path in ("/health", "/alive", "/metrics", "/robots.txt", "/favicon.ico"):
            status, _ = await _get(http, story.system.urls["gateway"] + path)
            assert status in {200, 304}
        before = len(story.collector.spans())
        await _get(http, f"{story.system.urls['gateway']}/register")
        await until_told(lambda: len(story.collector.spans()) > before)
    names = {span.name for span in story.collector.spans()}
    assert "GET /register" in names
    assert not [name for name in names if re.search("health|alive|metrics|robots|favicon|assets|posters", name)]
    assert not [span.name for span in story.collector.spans() if span.parent_id == "" and span.kind == "CLIENT"]


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_sends_every_signal(story: Story, service: str) -> None:
    collector = story.collector
    assert service in {span.service for span in collector.spans()}
    assert service in {log.service for log in collector.logs()}
    assert service in {point.service for point in collector.points()}


@pytest.mark.parametrize(("service", "metric", "unit"), METRICS)
def test_metrics_keep_their_names(story: Story, service: str, metric: str, unit: str) -> None:
    found = [point for point in story.collector.points(metric) if point.service == service]
    assert {point.unit for point in found} == {unit}


def test_business_metrics_say_how_it_ended(story: Story) -> None:
    points = story.collector.points
    assert values(points("orders.cancelled"), "reason") == {"BUYER"}
    assert values(points("payments.outcomes"), "outcome") == {"declined", "succeeded"}
    assert values(points("logins.refused"), "reason") == {"credentials"}
    assert values(points("queue.depth"), "role") == {"work", "retry", "dead"}
    assert values(points("http.server.request.duration"), "http.route") >= {"/graphql", "/orders/{order_id}/payment"}
    assert story.order["concert"]["slug"] in values(points("tickets.left"), "ticketflow.concert.slug")


def values(points: Iterable[PointView], label: str) -> set[str]:
    return {point.attributes[label] for point in points if label in point.attributes}


def test_exemplars_lead_to_traces(story: Story) -> None:
    known = {span.trace_id for span in story.collector.spans()}
    points = story.collector.points("http.server.request.duration")
    shown = {trace_id for point in points for trace_id in point.exemplars}
    assert shown
    assert shown <= known


def test_a_log_line_leads_to_its_span_and_names_the_order(story: Story) -> None:
    mailed = [log for log in story.collector.logs() if log.attributes.get("order_id") == story.order["id"]]
    assert {log.body for log in mailed} >= {"mailed"}
    spans = {(span.trace_id, span.span_id) for span in story.collector.spans()}
    for log in mailed:
        assert (log.trace_id, log.span_id) in spans
        assert log.attributes["order_number"] == story.order["number"]


def test_telemetry_has_nothing_to_complain_of(story: Story) -> None:
    assert [line for line in story.system.output if '"logger": "opentelemetry' in line] == []


def test_no_signal_tells_a_secret(story: Story) -> None:
    marks = story.secrets | {"card": GOOD_CARD["number"], "declined card": DECLINED["number"]}
    told = [sent.body for sent in story.collector.sent] + [line.encode() for line in story.system.output]
    leaked = {name for name, mark in marks.items() for text in told if mark.encode() in text}
    assert leaked == set()
    assert any(b"\xe2\x80\xa6@example.com" in text for text in told), "a masked address shows that marks got this far"


@pytest.mark.parametrize("port", [service if service != "catalog" else "catalog_admin" for service in SERVICES])
async def test_prometheus_can_read_every_process(story: Story, port: str) -> None:
    url = f"http://127.0.0.1:{story.system.ports[port]}/metrics"
    async with aiohttp.ClientSession() as http:
        status, text = await _get(http, url)
        assert status == 200
        assert re.search(r'^process_cpu_time_seconds_total\{type="user"\} \d', text, re.MULTILINE)
        assert (await _get(http, url, headers={"X-Forwarded-For": "203.0.113.7"}))[0] == 404


async def test_a_retry_stays_in_its_trace(story: Story) -> None:
    async with open_shop(story.system.urls["gateway"]) as shop:
        await shop.register()
        concert = await shop.concert_on_sale()
        with story.system.down("mailbox"):
            placed = (await shop.data(PLACE, input=order_input(concert, 1)))["placeOrder"]
            later = Story(story.system, story.collector, placed, {})
            postponed = (
                "notifications: process order.created.v1",
                "notifications: send notifications.orders.retry.1000",
            )
            await until_told(lambda: postponed in edges(later.trace_of("mutation placeOrder")))
        again = (postponed[1], postponed[0])
        await until_told(lambda: again in edges(later.trace_of("mutation placeOrder")))
    failed = [s for s in later.trace_of("mutation placeOrder") if s.kind == "CONSUMER" and s.failed]
    assert failed
    assert all(span.attributes["error.type"] for span in failed)
