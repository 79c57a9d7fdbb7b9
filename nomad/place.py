"""Where a shop on Nomad lives on this machine: its ports, its folders, and the way to its agents."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from services.apphost.errors import ApphostError
from services.apphost.ports import free_ports, is_taken

ROOT: Final = Path(__file__).parents[1]
PATH: Final = f"{os.environ.get('PATH', '')}:/usr/sbin"  # nginx is there
ANSWER_S: Final = 60.0  # for an agent to start
POLL_S: Final = 0.2
CALL_S: Final = 10.0
DIRECT: Final = urllib.request.build_opener(urllib.request.ProxyHandler({}))  # to this machine, whatever the proxy


@dataclass(frozen=True, kw_only=True)
class Ports:
    """Every port that is fixed: the agents', the servers', and those that people know."""

    ingress: int = 8080
    dashboard: int = 18888
    otlp: int = 4318
    otlp_grpc: int = 4317
    mailbox: int = 8025
    smtp: int = 1025
    postgres: int = 5432
    redis: int = 6379
    amqp: int = 5672
    consul: int = 8500
    consul_gossip: int = 8301
    consul_server: int = 8300
    nomad: int = 4646
    nomad_rpc: int = 4647
    nomad_serf: int = 4648
    artifacts: int = 8888

    @classmethod
    def free(cls) -> Ports:
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**dict(zip(names, free_ports(len(names)), strict=True)))

    @classmethod
    def usual(cls, wanted: Ports | None = None) -> Ports:
        """Those wanted (the contract's), and a free one instead of each that is somebody else's."""
        ports, free = dataclasses.asdict(wanted or cls()), dataclasses.asdict(cls.free())
        return cls(**{name: free[name] if is_taken(port) else port for name, port in ports.items()})

    def of_agents(self) -> list[int]:
        """Those that Nomad does not know of."""
        agents = [self.consul, self.consul_gossip, self.consul_server, self.nomad, self.nomad_rpc, self.nomad_serf]
        return [*agents, self.artifacts]

    def of_jobs(self) -> list[int]:
        return sorted(set(dataclasses.asdict(self).values()) - set(self.of_agents()))


@dataclass
class Place:
    """`state` is open to other accounts, under which tasks run; `dist` has the files of the releases."""

    state: Path
    dist: Path
    ports: Ports

    @property
    def volumes(self) -> Path:
        return self.state / "volumes"

    @property
    def env(self) -> dict[str, str]:
        """What agents, their tasks and the project's scripts find: nothing else of the machine's reaches them."""
        agents = {"NOMAD_ADDR": http(self.ports.nomad), "CONSUL_HTTP_ADDR": http(self.ports.consul)}
        return agents | {"PATH": PATH, "LC_ALL": "C.UTF-8"}

    def nomad(self, path: str, *, method: str = "GET", body: object = None) -> Any:
        """JSON of Nomad's API. Raises `OSError` where it does not answer, or with a status from 400 up."""
        return _call(f"{http(self.ports.nomad)}{path}", method, body)

    def consul(self, path: str, *, method: str = "GET", body: object = None) -> Any:
        """The same, of Consul's."""
        return _call(f"{http(self.ports.consul)}{path}", method, body)


def http(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def _call(url: str, method: str, body: object) -> Any:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(url, method=method, data=data)  # noqa: S310 - an agent of our own
    with DIRECT.open(request, timeout=CALL_S) as answer:
        text = answer.read()
    return json.loads(text) if text else None


def until_answered(condition: Callable[[], object], name: str) -> None:
    def is_met() -> bool:
        with contextlib.suppress(OSError):
            return bool(condition())
        return False

    if not wait_for(is_met, ANSWER_S):
        raise ApphostError(f"{name} has not started within {ANSWER_S:g} s.", "Its log tells why: logs/ of the state.")


def wait_for(condition: Callable[[], bool], within_s: float) -> bool:
    """Whether the condition came to hold in time."""
    deadline = time.monotonic() + within_s
    while not (met := condition()) and time.monotonic() < deadline:
        time.sleep(POLL_S)
    return met
