"""Our side of the payment provider, against the sandbox as a process of its own."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import uuid4

import pytest
from aiohttp import web

from services.apphost.ports import free_ports
from services.defaults.attempts import DEFAULT_POLICY, Policy
from services.defaults.discovery import Endpoint, StaticDiscovery
from services.defaults.errors import Unavailable
from services.defaults.resilience import HttpClient, open_http_client
from services.ordering.domain import Charge, ChargeAnswer, Payment, PaymentState
from services.ordering.provider import HttpPaymentProvider
from tests.defaults.loopback import serving
from tests.ordering.support import DECLINED, GOOD, LATE, POOR, card

API_KEY = "an API key of the tests, 32 bytes or more"
STALL_S, LATE_S, TIMEOUT_S = 30.0, 1.0, 0.3


def payment() -> Payment:
    return Payment(uuid4(), uuid4(), "key", PaymentState.STARTED, 5_000, "EUR")


@contextmanager
def sandbox(port: int, books: Path) -> Iterator[None]:
    """The provider in a process of its own, killed at the end without a warning."""
    environment = {
        "PORT": str(port),
        "PAYMENTS_API_KEY": API_KEY,
        "PAYMENTS_DB": str(books),
        "PAYMENTS_STALL_S": str(STALL_S),
        "PAYMENTS_LATE_S": str(LATE_S),
    }
    process = subprocess.Popen([sys.executable, "-m", "services.payments"], env=environment)
    try:
        yield
    finally:
        process.kill()
        process.wait()


async def accepting(port: int) -> None:
    async with asyncio.timeout(30):
        while True:
            try:
                _, writer = await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                await asyncio.sleep(0.05)
            else:
                writer.close()
                return await writer.wait_closed()


@pytest.fixture(scope="module")
def port(tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    (number,) = free_ports(1)
    with sandbox(number, tmp_path_factory.mktemp("payments") / "books.db"):
        yield number


@pytest.fixture
async def client(port: int) -> AsyncIterator[HttpClient]:
    await accepting(port)
    discovery = StaticDiscovery({"payments": [Endpoint("127.0.0.1", port)]})
    async with open_http_client("payments", discovery, Policy(retries=0)) as client:
        yield client


@pytest.fixture
def provider(client: HttpClient) -> HttpPaymentProvider:
    return HttpPaymentProvider(client, API_KEY, timeout_s=5)


@pytest.mark.parametrize(
    ("number", "answer"),
    [
        (GOOD, ChargeAnswer(Charge.SUCCEEDED)),
        (DECLINED, ChargeAnswer(Charge.DECLINED, "card_declined")),
        (POOR, ChargeAnswer(Charge.DECLINED, "insufficient_funds")),
        ("5555555555554444", ChargeAnswer(Charge.DECLINED, "unknown_test_card")),
    ],
)
async def test_cards(provider: HttpPaymentProvider, number: str, answer: ChargeAnswer) -> None:
    attempt = payment()
    assert await provider.charge(attempt, card(number), "K7QF-2M9X") == answer
    assert await provider.charge(attempt, card(number), "K7QF-2M9X") == answer
    assert await provider.look_up(attempt.id) == answer


async def test_an_answer_that_does_not_come_in_time_comes_later(client: HttpClient) -> None:
    impatient, attempt = HttpPaymentProvider(client, API_KEY, timeout_s=TIMEOUT_S), payment()
    with pytest.raises(Unavailable):
        await impatient.charge(attempt, card(LATE), "K7QF-2M9X")
    patient = HttpPaymentProvider(client, API_KEY, timeout_s=5)
    async with asyncio.timeout(LATE_S + 15):
        while (await patient.look_up(attempt.id)).status is Charge.PENDING:
            await asyncio.sleep(0.05)
    assert (await patient.charge(attempt, card(LATE), "K7QF-2M9X")).status is Charge.SUCCEEDED


async def test_slow_cards_cut_no_other_off(client: HttpClient) -> None:
    impatient = HttpPaymentProvider(client, API_KEY, timeout_s=TIMEOUT_S)
    slow = [impatient.charge(payment(), card(LATE), "K7QF-2M9X") for _ in range(2 * DEFAULT_POLICY.break_after)]
    assert {type(outcome) for outcome in await asyncio.gather(*slow, return_exceptions=True)} == {Unavailable}
    patient = HttpPaymentProvider(client, API_KEY, timeout_s=5)
    assert (await patient.charge(payment(), card(), "K7QF-2M9X")).status is Charge.SUCCEEDED


async def test_refunds(provider: HttpPaymentProvider) -> None:
    attempt = payment()
    await provider.charge(attempt, card(), "K7QF-2M9X")
    for _ in range(2):
        assert (await provider.refund(attempt.id)).status is Charge.REFUNDED


async def test_calling_off_stops_what_has_not_arrived_and_gives_nothing_back(provider: HttpPaymentProvider) -> None:
    unsent, charged = payment(), payment()
    assert (await provider.look_up(unsent.id)).status is Charge.UNKNOWN
    for _ in range(2):
        assert (await provider.call_off(unsent.id)).status is Charge.VOIDED
    assert (await provider.charge(unsent, card(), "K7QF-2M9X")).status is Charge.VOIDED
    await provider.charge(charged, card(), "K7QF-2M9X")
    assert (await provider.call_off(charged.id)).status is Charge.SUCCEEDED
    assert (await provider.look_up(charged.id)).status is Charge.SUCCEEDED


async def test_a_provider_that_does_not_know_us_is_away_to_the_buyer(client: HttpClient) -> None:
    stranger = HttpPaymentProvider(client, "some other key that is long enough", timeout_s=5)
    with pytest.raises(Unavailable):
        await stranger.charge(payment(), card(), "K7QF-2M9X")


async def test_a_provider_without_these_addresses_is_away_to_the_buyer() -> None:
    async def nothing_here(_request: web.Request) -> web.Response:
        return web.Response(status=404)

    async with serving(nothing_here) as endpoint:
        discovery = StaticDiscovery({"payments": [endpoint]})
        async with open_http_client("payments", discovery, Policy(retries=0)) as client:
            provider, attempt = HttpPaymentProvider(client, API_KEY, timeout_s=5), payment()
            with pytest.raises(Unavailable):
                await provider.charge(attempt, card(), "K7QF-2M9X")
            with pytest.raises(Unavailable):
                await provider.call_off(attempt.id)
            with pytest.raises(Unavailable):
                await provider.refund(attempt.id)


async def test_what_was_charged_outlives_the_provider(tmp_path: Path) -> None:
    (number,), attempt = free_ports(1), payment()
    discovery = StaticDiscovery({"payments": [Endpoint("127.0.0.1", number)]})
    for expected in (Charge.UNKNOWN, Charge.SUCCEEDED):
        with sandbox(number, tmp_path / "books.db"):
            await accepting(number)
            async with open_http_client("payments", discovery, Policy(retries=0)) as client:
                provider = HttpPaymentProvider(client, API_KEY, timeout_s=5)
                assert (await provider.look_up(attempt.id)).status is expected
                await provider.charge(attempt, card(), "K7QF-2M9X")
