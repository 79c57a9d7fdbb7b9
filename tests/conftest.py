"""Real servers for the tests: each starts when first asked for, once a run, on free ports, and stops at its end."""

import asyncio
import contextlib
import os
import secrets
import subprocess
from collections.abc import Coroutine, Iterator
from dataclasses import dataclass
from typing import Any, TypeVar

import hypothesis
import pytest
from redis import Redis

from services.apphost.lifetime import start_part
from services.apphost.parts import Part
from services.apphost.ports import free_ports
from services.apphost.process import Process
from services.apphost.servers.consul import ConsulPorts, consul, consul_url, find_consul
from services.apphost.servers.postgres import postgres as postgres_part
from services.apphost.servers.postgres import program, superuser_url
from services.apphost.servers.rabbitmq import RabbitPorts, rabbitmq
from services.apphost.servers.rabbitmq import rabbitmq_url as amqp_url
from services.apphost.servers.redis import redis
from services.apphost.servers.redis import redis_url as cache_url
from services.apphost.system import System, running_system

# The same examples each run: a change is judged by what it changed. HYPOTHESIS_PROFILE=random looks for new ones.
# How long an example takes says more of the machine than of the code.
UNTIMED: dict[str, Any] = {"deadline": None, "suppress_health_check": [hypothesis.HealthCheck.too_slow]}
hypothesis.settings.register_profile("steady", derandomize=True, database=None, **UNTIMED)
hypothesis.settings.register_profile("random", **UNTIMED)
hypothesis.settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "steady"))

# What runs on this machine is not asked for by way of a proxy, which pip and apt may need.
for name in ("no_proxy", "NO_PROXY"):
    os.environ[name] = ",".join(filter(None, (os.environ.get(name), "127.0.0.1", "localhost")))

T = TypeVar("T")
STOP_S = 8.0
PASSWORD = "only-for-this-run"


@dataclass(frozen=True)
class PostgresServer:
    """``url`` is the superuser's."""

    url: str

    def create_database(self, hint: str) -> str:
        """Make an empty database whose owner, a role of its own, owns nothing else; answer the owner's URL.

        It blocks for some 50 ms and may be called inside a running loop.
        """
        name = f"{hint}_{secrets.token_hex(4)}"
        self.execute(
            f"CREATE ROLE {name} LOGIN PASSWORD '{PASSWORD}'",
            f"CREATE DATABASE {name} OWNER {name}",
            f"REVOKE ALL ON DATABASE {name} FROM PUBLIC",
        )
        server = self.url.rpartition("@")[2].partition("/")[0]
        return f"postgres://{name}:{PASSWORD}@{server}/{name}"

    def execute(self, *statements: str) -> None:
        """Run statements as the superuser, each in a transaction of its own."""
        commands = [word for statement in statements for word in ("-c", statement)]
        subprocess.run(
            [program("psql"), self.url, "--quiet", "--no-psqlrc", "-v", "ON_ERROR_STOP=1", *commands],
            check=True,
            timeout=30,
        )


@pytest.fixture(scope="session")
def postgres(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PostgresServer]:
    (port,) = free_ports(1)
    with running(postgres_part(tmp_path_factory.mktemp("postgres"), port, PASSWORD, durable=False)):
        yield PostgresServer(superuser_url(port, PASSWORD))


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    (port,) = free_ports(1)
    with running(redis(tmp_path_factory.mktemp("redis"), port, PASSWORD)):
        yield cache_url(port, PASSWORD)


@pytest.fixture(scope="module")
def redis_url(redis_server: str) -> str:
    """A Redis that is empty when a module's first test begins."""
    with Redis.from_url(redis_server) as client:
        client.flushall()
    return redis_server


@pytest.fixture(scope="session")
def rabbitmq_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One broker for the run: tests name their queues and exchanges apart."""
    amqp, epmd, nodes = free_ports(3)
    ports = RabbitPorts(amqp=amqp, epmd=epmd, nodes=nodes)
    with running(*rabbitmq(tmp_path_factory.mktemp("rabbitmq"), ports, PASSWORD)):
        yield amqp_url(amqp, PASSWORD)


@pytest.fixture(scope="session")
def consul_addr(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    agent = find_consul()
    if agent is None:
        pytest.fail("There is no consul on PATH or under .ticketflow/: run `make setup`.")
    http, gossip, server = free_ports(3)
    with running(
        consul(agent, tmp_path_factory.mktemp("consul"), ConsulPorts(http=http, gossip=gossip, server=server))
    ):
        yield consul_url(http)


@pytest.fixture(scope="session")
def system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole shop, once a run, as the app host runs it, on free ports and data of its own.

    Without the dashboard: nothing needs it, and telemetry of all that the tests do would take time from them.
    """
    with running_system(tmp_path_factory.mktemp("system"), without=("dashboard",)) as system:
        yield system


@pytest.fixture(scope="module")
def observed_system(tmp_path_factory: pytest.TempPathFactory) -> Iterator[System]:
    """The whole shop with its dashboard, to which the services send all their telemetry, once a module."""
    with running_system(tmp_path_factory.mktemp("observed")) as system:
        yield system


@contextlib.contextmanager
def running(*parts: Part) -> Iterator[None]:
    """Start parts in order, and stop them whatever happens; a failed start says what the part printed."""
    with contextlib.ExitStack() as stop_all:
        for part in parts:
            lines: list[str] = []
            try:
                process = run(start_part(part, lines.append))
            except Exception as error:
                error.add_note("\n".join(lines[-30:]))
                raise
            if process is not None:
                stop_all.callback(_stop, process)
        yield


def _stop(process: Process) -> None:
    run(process.stop(STOP_S))


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Like asyncio.run, but the loop of the test that is about to start stays as it is."""
    with asyncio.Runner(loop_factory=asyncio.new_event_loop) as runner:
        return runner.run(coroutine)
