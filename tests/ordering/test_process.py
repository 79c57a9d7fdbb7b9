"""Ordering as its own process: migrate, serve, stop; and no request that breaks it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import status_code_conformance

from services.apphost.ports import free_ports
from services.defaults.auth import ORDERS_SCOPE, TokenIssuer
from tests.ordering.catalog_server import CatalogServer, served_in_a_thread
from tests.ordering.support import BUYER, CONCERT_ID, GOOD, SEATED
from tests.processes import ROOT, serving, wait_until

JWT_SECRET = "a signing key of the tests, 32 bytes or more"
OTHER_SECRET = "another key of the tests, 32 bytes or more"
ROUTES = [
    ("GET", "/orders"),
    ("POST", "/orders"),
    ("GET", "/orders/{order_id}"),
    ("POST", "/orders/{order_id}/payment"),
    ("POST", "/orders/{order_id}/cancel"),
    ("POST", "/webhooks/payments"),
]


def run_verb(verb: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.ordering", verb]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def env(postgres: Any, rabbitmq_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """What ordering is told; the catalog and the payment provider that it names are running."""
    catalog_port, payments_port, port = free_ports(3)
    tunables = tmp_path_factory.mktemp("ordering") / "tunables.env"
    tunables.touch()
    payments = {"PATH": os.environ["PATH"], "PAYMENTS_API_KEY": OTHER_SECRET, "PORT": str(payments_port)} | {
        "PAYMENTS_DB": ":memory:",
        "DRAIN_S": "0",
    }
    with served_in_a_thread(CatalogServer(), catalog_port), serving("payments", payments):
        yield {
            "PATH": os.environ["PATH"],
            "DATABASE_URL": postgres.create_database("ordering"),
            "RABBITMQ_URL": rabbitmq_url,
            "JWT_SECRET": JWT_SECRET,
            "SERVICE_TOKEN_SECRET": OTHER_SECRET,
            "PAYMENTS_API_KEY": OTHER_SECRET,
            "CATALOG_ADDR": f"127.0.0.1:{catalog_port}",
            "PAYMENTS_ADDR": f"127.0.0.1:{payments_port}",
            "PORT": str(port),
            "DRAIN_S": "0",
            "TUNABLES_FILE": str(tunables),
            **{f"{name}_LIMIT": "1000000" for name in ("ORDER", "READ", "WEBHOOK")},
        }


@pytest.fixture(scope="module")
def process(env: dict[str, str]) -> Iterator[subprocess.Popen[bytes]]:
    for _ in range(2):
        outcome = run_verb("migrate", {"PATH": env["PATH"], "DATABASE_URL": env["DATABASE_URL"]})
        assert outcome.returncode == 0, outcome.stderr
    with serving("ordering", env) as (process, _):
        yield process


@pytest.fixture(scope="module")
def url(env: dict[str, str], process: subprocess.Popen[bytes]) -> str:
    assert process.poll() is None
    return f"http://127.0.0.1:{env['PORT']}"


@pytest.fixture(scope="module")
def bearer() -> dict[str, str]:
    issuer = TokenIssuer(secret=JWT_SECRET, issuer="https://ticketflow.test", audience="ticketflow", lifetime_s=900)
    token = issuer.issue(BUYER.id, scopes=[ORDERS_SCOPE], claims={"email": BUYER.email, "name": BUYER.name})
    return {"Authorization": f"Bearer {token}"}


def place(url: str, bearer: dict[str, str]) -> dict[str, Any]:
    body: dict[str, Any] = {"concertId": CONCERT_ID, "lines": [{"tierId": SEATED, "quantity": 2}]}
    placed = requests.post(f"{url}/orders", json=body, headers=bearer | {"Idempotency-Key": uuid4().hex}, timeout=10)
    assert placed.status_code == 201
    order: dict[str, Any] = placed.json()
    return order


def test_an_order_is_placed_and_paid(url: str, bearer: dict[str, str]) -> None:
    paid = requests.post(
        f"{url}/orders/{place(url, bearer)['id']}/payment",
        json={"card": {"number": GOOD, "expiry": "12/40", "cvc": "123"}},
        headers=bearer | {"Idempotency-Key": uuid4().hex},
        timeout=10,
    )
    assert (paid.status_code, paid.json()["status"]) == (200, "CONFIRMED")


def test_how_long_tickets_are_held_changes_at_sighup(
    env: dict[str, str], process: subprocess.Popen[bytes], url: str, bearer: dict[str, str]
) -> None:
    def held_s() -> float:
        order = place(url, bearer)
        placed_at, expires_at = (datetime.fromisoformat(order[key]) for key in ("createdAt", "expiresAt"))
        return (expires_at - placed_at).total_seconds()

    assert held_s() > 500  # by default 600
    Path(env["TUNABLES_FILE"]).write_text("ORDERING_HOLD_TTL_S=300\n")
    process.send_signal(signal.SIGHUP)
    wait_until(lambda: held_s() < 400, process)


def test_health_names_every_dependency(process: subprocess.Popen[bytes], url: str) -> None:
    def health() -> dict[str, Any]:
        report: dict[str, Any] = requests.get(f"{url}/health", timeout=10).json()
        return report

    wait_until(lambda: health()["status"] == "pass", process)  # it serves before it has reached the broker
    assert set(health()["checks"]) == {"postgres", "rabbitmq", "catalog", "payments"}


def test_every_bad_setting_is_named_at_once(env: dict[str, str]) -> None:
    outcome = run_verb("serve", {"PATH": env["PATH"], "PORT": "http", "JWT_SECRET": "short"})
    assert outcome.returncode == 2
    keys = ("DATABASE_URL", "RABBITMQ_URL", "JWT_SECRET", "SERVICE_TOKEN_SECRET", "PAYMENTS_API_KEY", "PORT")
    assert all(key in outcome.stderr for key in keys)
    assert "Traceback" not in outcome.stderr


def test_crash_points_are_not_for_production(env: dict[str, str]) -> None:
    outcome = run_verb("serve", env | {"ENVIRONMENT": "production", "CRASH_AT": "place.held"})
    assert outcome.returncode == 2
    assert "CRASH_AT" in outcome.stderr


@pytest.fixture(scope="module")
def api(url: str) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{url}/openapi.json")


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(("method", "path"), ROUTES)
def test_nothing_that_fits_or_breaks_the_schema_breaks_the_service(
    api: BaseSchema, bearer: dict[str, str], method: str, path: str, mode: GenerationMode
) -> None:
    operation = api[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
    def send(case: Any) -> None:
        answer = case.call(headers=bearer)
        case.validate_response(answer, checks=[not_a_server_error, status_code_conformance])
        documented = operation.definition.raw["responses"]
        assert str(answer.status_code) in documented, f"{answer.status_code} is not documented"

    send()
