"""Identity as its own process: migrate, seed, serve, stop; and no request that breaks it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.schemas import BaseSchema
from schemathesis.specs.openapi.checks import status_code_conformance

from services.apphost.ports import free_ports
from services.identity.seed import DEMO_EMAIL, DEMO_PASSWORD
from tests.processes import ROOT, answers, serving, wait_until

DEMO = {"email": DEMO_EMAIL, "password": DEMO_PASSWORD}
LIMITS = ("REGISTER", "LOGIN", "REFRESH", "READ", "LOGIN_ACCOUNT", "LOGIN_ADDRESS")


def run_verb(verb: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.identity", verb]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def env(postgres: Any) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": postgres.create_database("identity"),
        "JWT_SECRET": "a signing key of the tests, 32 bytes or more",
        "PORT": str(free_ports(1)[0]),
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
    with serving("identity", env) as (_, address):
        yield address


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


def guess_twice(url: str, name: str) -> tuple[int, ...]:
    wrong = {"email": f"{name}@ticketflow.test", "password": "not the right one"}
    return tuple(requests.post(f"{url}/login", json=wrong, timeout=10).status_code for _ in range(2))


@pytest.mark.usefixtures("url")  # for its migrated database
def test_limits_and_log_level_change_at_sighup_while_a_request_is_in_flight(
    env: dict[str, str], tmp_path: Path
) -> None:
    file, log = tmp_path / "tunables.env", tmp_path / "log"
    file.write_text("LOGIN_ACCOUNT_LIMIT=1\nLOG_LEVEL=warning\n")
    own = {"PORT": str(free_ports(1)[0]), "TUNABLES_FILE": str(file)}
    with serving("identity", env | own, log=log) as (process, address):
        assert guess_twice(address, "anna") == (401, 429)
        assert "serving" not in log.read_text()

        def body_with_a_signal_in_the_middle() -> Iterator[bytes]:
            body = json.dumps(DEMO).encode()
            yield body[:10]
            file.write_text("LOGIN_ACCOUNT_LIMIT=1000\nLOG_LEVEL=info\n")
            process.send_signal(signal.SIGHUP)
            wait_until(lambda: "LOG_LEVEL, LOGIN_ACCOUNT_LIMIT" in log.read_text(), process)
            yield body[10:]

        headers = {"Content-Type": "application/json"}
        answer = requests.post(f"{address}/login", data=body_with_a_signal_in_the_middle(), headers=headers, timeout=10)
        assert answer.status_code == 200
        assert guess_twice(address, "otto") == (401, 401)


@pytest.mark.usefixtures("url")
def test_without_a_file_sighup_does_not_end_it(env: dict[str, str], tmp_path: Path) -> None:
    log = tmp_path / "log"
    with serving("identity", env | {"PORT": str(free_ports(1)[0])}, log=log) as (process, address):
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: "there is no TUNABLES_FILE" in log.read_text(), process)
        assert answers(f"{address}/health")


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
    @settings(max_examples=25, derandomize=True, suppress_health_check=list(HealthCheck))
    def send(case: Any) -> None:
        answer = case.call(headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code < 500
        case.validate_response(answer, checks=[status_code_conformance])

    send()
