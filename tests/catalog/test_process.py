"""The catalog as its own process: migrate, seed, serve, stop."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from urllib.request import urlopen
from uuid import uuid4

import pytest
from google.protobuf.duration_pb2 import Duration
from grpclib.client import Channel
from grpclib.reflection.v1.reflection_grpc import ServerReflectionStub
from grpclib.reflection.v1.reflection_pb2 import ServerReflectionRequest

from protos import catalog_pb2 as pb
from protos.catalog_grpc import CatalogStub
from services.apphost.ports import free_ports
from services.defaults.auth import SERVICE_TOKEN_TYPE, TokenIssuer
from tests.conftest import PostgresServer

ROOT = Path(__file__).parents[2]
SECRET = "a signing key of the tests, 32 bytes or more"
START_S = 20


def run_verb(verb: str, env: dict[str, str]) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "services.catalog", verb]
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)


@pytest.fixture(scope="module")
def env(postgres: PostgresServer, redis_url: str) -> dict[str, str]:
    port, admin_port = free_ports(2)
    return {
        "PATH": os.environ["PATH"],
        "DATABASE_URL": postgres.create_database("catalog"),
        "REDIS_URL": redis_url,
        "SERVICE_TOKEN_SECRET": SECRET,
        "PORT": str(port),
        "ADMIN_PORT": str(admin_port),
        "DRAIN_S": "0",
    }


@pytest.fixture(scope="module")
def port(env: dict[str, str]) -> Iterator[int]:
    """The gRPC port of a running catalog, migrated and seeded; twice, as every `make up` does."""
    for verb in ("migrate", "seed", "migrate", "seed"):
        outcome = run_verb(verb, env)
        assert outcome.returncode == 0, outcome.stderr
    process = subprocess.Popen([sys.executable, "-m", "services.catalog"], cwd=ROOT, env=env)
    try:
        wait_until_ready(env)
        yield int(env["PORT"])
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0


def wait_until_ready(env: dict[str, str]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline:
        try:
            with urlopen(f"http://127.0.0.1:{env['ADMIN_PORT']}/health", timeout=2) as answer:
                assert set(json.load(answer)["checks"]) == {"postgres", "redis"}
            socket.create_connection(("127.0.0.1", int(env["PORT"])), timeout=2).close()
            return
        except OSError:
            time.sleep(0.05)
    pytest.fail(f"The catalog was not ready within {START_S} s.")


async def test_a_ticket_of_the_demo_shop_is_bought(port: int) -> None:
    issuer = TokenIssuer(
        secret=SECRET,
        issuer="https://ticketflow.test",
        audience="catalog",
        lifetime_s=60,
        typ=SERVICE_TOKEN_TYPE,
    )
    metadata = {"authorization": f"Bearer {issuer.issue('ordering')}"}
    order_id = str(uuid4())
    async with Channel("127.0.0.1", port) as channel:
        catalog = CatalogStub(channel)
        listed = await catalog.ListConcerts(pb.ListConcertsRequest(available_only=True, page_size=1), timeout=10)
        concert = listed.concerts[0]
        tier = next(tier for tier in concert.tiers if tier.available >= 2)
        request = pb.HoldTicketsRequest(
            order_id=order_id,
            concert_id=concert.id,
            lines=[pb.HoldLine(tier_id=tier.id, quantity=2)],
            ttl=Duration(seconds=60),
        )
        await catalog.HoldTickets(request, metadata=metadata, timeout=10)
        sold = await catalog.ConfirmHold(pb.ConfirmHoldRequest(order_id=order_id), metadata=metadata, timeout=10)
    assert [bool(ticket.code) for ticket in sold.hold.tickets] == [True, True]


async def test_reflection_tells_what_is_served(port: int) -> None:
    async with Channel("127.0.0.1", port) as channel:
        asked = [ServerReflectionRequest(list_services="")]
        (answer,) = await ServerReflectionStub(channel).ServerReflectionInfo(asked, timeout=10)
    names = {service.name for service in answer.list_services_response.service}
    assert names >= {"ticketflow.catalog.v1.Catalog", "grpc.health.v1.Health"}


def test_every_bad_setting_is_named_at_once(env: dict[str, str]) -> None:
    outcome = run_verb("serve", {"PATH": env["PATH"], "PORT": "grpc", "SERVICE_TOKEN_SECRET": "short"})
    assert outcome.returncode == 2
    assert all(key in outcome.stderr for key in ("DATABASE_URL", "REDIS_URL", "SERVICE_TOKEN_SECRET", "PORT"))
    assert "Traceback" not in outcome.stderr
