"""Consul: one server agent, which is its own cluster."""

import os
import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from services.apphost.checks import check_consul
from services.apphost.parts import Part
from services.apphost.process import Command, run_once

CONFIG = Path(__file__).parents[3] / "consul/local.hcl"
# Where scripts/get_consul.sh unpacks it, on a machine that has none.
UNPACKED = Path(__file__).parents[3] / ".ticketflow/consul/usr/bin/consul"


@dataclass(frozen=True, kw_only=True)
class ConsulPorts:
    """``http`` for clients; ``gossip`` and ``server`` are the agent's own."""

    http: int
    gossip: int
    server: int


def consul_url(port: int) -> str:
    return f"http://127.0.0.1:{port}"


def find_consul() -> str | None:
    """The program on PATH, or else the one unpacked beside the checkout, or else None."""
    return shutil.which("consul") or (str(UNPACKED) if UNPACKED.exists() else None)


def consul(program: str, folder: Path, ports: ConsulPorts) -> Part:
    """The agent as a part. It keeps nothing worth keeping: services register again by themselves."""
    url = consul_url(ports.http)
    return Part(
        name="consul",
        command=Command(
            argv=[program, "agent", f"-config-file={CONFIG}", f"-data-dir={folder}", *_port_flags(program, ports)],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        ),
        ports={"http": ports.http, "gossip": ports.gossip, "server": ports.server},
        check=lambda: check_consul(url),
        quiet=True,
    )


def _port_flags(program: str, ports: ConsulPorts) -> list[str]:
    numbers = {
        "http": ports.http,
        "server": ports.server,
        "serf-lan": ports.gossip,
        "serf-wan": -1,
        "dns": -1,
        "grpc": -1,
    }
    if _version(program) >= (1, 14):
        numbers["grpc-tls"] = -1  # older agents refuse the flag, newer ones open a fixed port without it
    return [f"-{name}-port={number}" for name, number in numbers.items()]


def _version(program: str) -> tuple[int, int]:
    found = re.search(r"v(\d+)\.(\d+)", run_once(Command(argv=[program, "version"], env=dict(os.environ))))
    return (int(found[1]), int(found[2])) if found else (0, 0)
