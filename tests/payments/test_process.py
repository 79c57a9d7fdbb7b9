"""The sandbox provider as its own process: serve, stop; and no request that breaks it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import status_code_conformance

from services.apphost.ports import free_ports
from tests.payments.support import API_KEY
from tests.processes import ROOT, serving

COMMAND = [sys.executable, "-m", "services.payments"]
BEARER = {"Authorization": f"Bearer {API_KEY}"}


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    (port,) = free_ports(1)
    env = {
        "PATH": os.environ["PATH"],
        "PORT": str(port),
        "PAYMENTS_API_KEY": API_KEY,
        "PAYMENTS_DB": str(tmp_path_factory.mktemp("payments") / "books.db"),
        "PAYMENTS_STALL_S": "0",
        "DRAIN_S": "0",
    }
    with serving("payments", env) as (_, address):
        yield address


def test_a_bad_setting_stops_the_start() -> None:
    env = {"PATH": os.environ["PATH"], "PAYMENTS_API_KEY": "short", "PAYMENTS_LATE_S": "soon"}
    outcome = subprocess.run(COMMAND, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert outcome.returncode == 2
    assert all(key in outcome.stderr for key in ("PAYMENTS_API_KEY", "PAYMENTS_LATE_S"))


@pytest.fixture(scope="module")
def api(url: str) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{url}/openapi.json")


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("POST", "/charges"),
        ("GET", "/charges/{payment_id}"),
        ("POST", "/charges/{payment_id}/void"),
        ("POST", "/charges/{payment_id}/refund"),
    ],
)
def test_nothing_that_fits_or_breaks_the_schema_breaks_the_service(
    api: BaseSchema, method: str, path: str, mode: GenerationMode
) -> None:
    operation = api[path][method]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
    def send(case: Any) -> None:
        answer = case.call(headers=BEARER)
        case.validate_response(answer, checks=[not_a_server_error, status_code_conformance])
        assert str(answer.status_code) in operation.definition.raw["responses"]

    send()
