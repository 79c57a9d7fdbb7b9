"""Identity as its own process: migrate, seed, serve, stop; and no request that breaks it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.schemas import BaseSchema

from services.identity.seed import DEMO_EMAIL, DEMO_PASSWORD

ROOT = Path(__file__).parents[2]
DEMO = {"email": DEMO_EMAIL, "password": DEMO_PASSWORD}
START_S = 20
LIMITS = ("REGISTER", "LOGIN", "REFRESH", "READ", "LOGIN_ACCOUNT", "LOGIN_ADDRESS")


def run_verb(verb: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.identity", verb]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def env(postgres: Any) -> dict[str, str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": postgres.create_database("identity"),
        "JWT_SECRET": "a signing key of the tests, 32 bytes or more",
        "PORT": str(port),
        "ARGON2_MEMORY_KIB": "64",
        "DRAIN_S": "0",
        **{f"{name}_LIMIT": "1000000" for name in LIMITS},
    }


@pytest.fixture(scope="module")
def url(env: dict[str, str]) -> Iterator[str]:
    """A running identity, migrated and seeded; twice, as every `make up` does."""
    for verb in ("migrate", "seed", "migrate", "seed"):
        outcome = run_verb(verb, env)
        assert outcome.returncode == 0, outcome.stderr
    process = subprocess.Popen([sys.executable, "-m", "services.identity"], cwd=ROOT, env=env)
    try:
        address = f"http://127.0.0.1:{env['PORT']}"
        wait_until_ready(address)
        yield address
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            if requests.get(f"{url}/health", timeout=2).status_code == 200:
                return
        except requests.ConnectionError:
            time.sleep(0.05)
    pytest.fail(f"Identity was not ready within {START_S} s.")


def test_the_demo_buyer_logs_in(url: str) -> None:
    answer = requests.post(f"{url}/login", json=DEMO, timeout=10)
    assert answer.status_code == 200
    assert answer.json()["user"]["name"] == "Demo Buyer"


def test_every_bad_setting_is_named_at_once(env: dict[str, str]) -> None:
    outcome = run_verb("serve", {"PATH": env["PATH"], "PORT": "http", "JWT_SECRET": "short"})
    assert outcome.returncode == 2
    assert all(key in outcome.stderr for key in ("DATABASE_URL", "JWT_SECRET", "PORT"))
    assert "Traceback" not in outcome.stderr


@pytest.mark.parametrize(("key", "value"), [("TRUSTED_PROXIES", "everyone"), ("LOGIN_WINDOW_S", "nan")])
def test_a_setting_that_makes_no_sense_stops_the_start(env: dict[str, str], key: str, value: str) -> None:
    outcome = run_verb("serve", env | {key: value})
    assert outcome.returncode == 2
    assert key in outcome.stderr


@pytest.fixture(scope="module")
def api(url: str) -> BaseSchema:
    return schemathesis.openapi.from_url(f"{url}/openapi.json")


@pytest.mark.parametrize("mode", [GenerationMode.POSITIVE, GenerationMode.NEGATIVE])
@pytest.mark.parametrize("route", ["/register", "/login", "/refresh", "/logout", "/me"])
def test_nothing_that_fits_or_breaks_the_schema_breaks_the_service(
    api: BaseSchema, url: str, route: str, mode: GenerationMode
) -> None:
    token = requests.post(f"{url}/login", json=DEMO, timeout=10).json()["accessToken"]
    operation = api[route]["GET" if route == "/me" else "POST"]

    @given(case=operation.as_strategy(generation_mode=mode))
    @settings(max_examples=25, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    def send(case: Any) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {token}"})
        case.validate_response(answer, checks=[not_a_server_error])

    send()
