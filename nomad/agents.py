"""The agents of Consul and Nomad: how each is started, and that nothing is left of them.

The first Nomad agent is a development agent: server and client in one, with its state in memory. Further ones are
clients only. Each has a Consul agent of its own, because Nomad takes out of its agent what it did not register.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nomad.place import ROOT, Place, until_answered
from services.apphost.errors import ApphostError
from services.apphost.log import QuietLog
from services.apphost.ports import free_ports
from services.apphost.process import Command, Process, start

STOP_S: Final = 20.0
KNOWS_RETRIES: Final = (1, 2, 4)  # the first version of Nomad that takes overlays/consul-retry.hcl
MARK: Final = "TICKETFLOW_NOMAD"  # in the environment of agents, and so of all that they start
# Nomad's dynamic ports, in halves: two clients on one address would pick the same.
FIRST_HALF, SECOND_HALF = (20_000, 25_999), (26_000, 32_000)


@dataclass(frozen=True)
class Node:
    """A Nomad agent, and the Consul agent that is its own."""

    nomad: Process
    consul: Process

    def stop(self) -> None:
        for process in (self.nomad, self.consul):
            process.ask_to_stop()
            try:
                process.join(STOP_S)
            except subprocess.TimeoutExpired:
                process.kill()


def first_node(place: Place, program: str) -> Node:
    """Server and client in one. At SIGINT a development agent ends its tasks, and then itself."""
    ports, consul = place.ports, consul_server(place, program)
    volumes = place.state / "nomad/dev.hcl"
    volumes.write_text((ROOT / "nomad/agent/dev.hcl").read_text().replace("/srv/ticketflow", str(place.volumes)))
    config = _agent(ports.nomad, ports.nomad_rpc, ports.nomad_serf, ports.consul)
    config["client"]["reserved"] = {
        "reserved_ports": reserved_ports(SECOND_HALF, also=ports.of_agents(), but=ports.of_jobs())
    }
    return Node(_start_nomad(place, 1, config, "-dev", f"-config={volumes}"), consul)


def consul_server(place: Place, program: str) -> Process:
    """The one of the first node. Returns once it leads, with what its folder has kept."""
    ports = place.ports
    flags = [f"-config-file={ROOT / 'consul/local.hcl'}", f"-server-port={ports.consul_server}"]
    flags += [*_consul_ports(ports.consul, ports.consul_gossip), f"-data-dir={consul_data(place)}"]
    consul = _start(place, "consul-1", [program, "agent", *flags])
    until_answered(lambda: place.consul("/v1/status/leader"), "Consul")
    return consul


def consul_data(place: Place) -> Path:
    """All that Consul knows: keys, secrets, registrations."""
    return place.state / "consul-1"


def further_node(place: Place, program: str, number: int) -> Node:
    """A client that takes services: what is bound to a volume, or to a port, stays on the first."""
    http, gossip, api, rpc, serf = free_ports(5)
    flags = ["-bind=127.0.0.1", "-datacenter=local", f"-node=node-{number}"]
    flags.append(f"-retry-join=127.0.0.1:{place.ports.consul_gossip}")
    flags += [*_consul_ports(http, gossip), f"-data-dir={place.state / f'consul-{number}'}"]
    consul = _start(place, f"consul-{number}", [program, "agent", *flags])
    config = _agent(api, rpc, serf, http)
    config["client"]["reserved"] = {"reserved_ports": reserved_ports(FIRST_HALF, also=place.ports.of_jobs())}
    config["client"]["servers"] = [f"127.0.0.1:{place.ports.nomad_rpc}"]
    config["plugin"] = {"raw_exec": {"config": {"enabled": True}}}
    return Node(_start_nomad(place, number, config, f"-node=node-{number}"), consul)


def _consul_ports(http: int, gossip: int) -> list[str]:
    return [f"-http-port={http}", f"-serf-lan-port={gossip}", "-serf-wan-port=-1", "-dns-port=-1", "-grpc-port=-1"]


def reserved_ports(half: tuple[int, int], *, also: Sequence[int], but: Sequence[int] = ()) -> str:
    """Ports that a client must not give to tasks, in Nomad's words."""
    words, start = [str(port) for port in also], half[0]
    for port in sorted(port for port in {*but, half[1] + 1} if half[0] <= port <= half[1] + 1):
        if port > start:
            words.append(f"{start}-{port - 1}")
        start = port + 1
    return ",".join(words)


def _start_nomad(place: Place, number: int, config: Mapping[str, Any], *flags: str) -> Process:
    folder = place.state / f"nomad/{number}"
    folder.mkdir(mode=0o711)  # tasks that are not root work below it
    file = place.state / f"nomad/{number}.json"
    file.write_text(json.dumps(config))
    flags = (*flags, f"-config={file}", f"-data-dir={folder}", *_further_configuration(place))
    return _start(place, f"nomad-{number}", ["nomad", "agent", *flags])


def _further_configuration(place: Place) -> list[str]:
    """What not every Nomad takes."""
    command = ["nomad", "version"]
    told = subprocess.run(command, env=place.env, check=True, capture_output=True, text=True).stdout  # noqa: S603 - as above
    found = re.search(r"v(\d+)\.(\d+)\.(\d+)", told)
    version = tuple(map(int, found.groups())) if found else ()
    return [f"-config={ROOT / 'nomad/overlays/consul-retry.hcl'}"] if version >= KNOWS_RETRIES else []


def _start(place: Place, name: str, argv: Sequence[str]) -> Process:
    """The kernel tells an agent to end when we are gone, by a signal after which Nomad still ends its tasks."""
    env = place.env | {MARK: f"{place.state / 'nomad'}/"}
    command = Command(argv=["setpriv", "--pdeathsig=INT", *argv], env=env, stop_signal=signal.SIGINT)
    return start(command, QuietLog(place.state / f"logs/{name}.log", say))


def _agent(http: int, rpc: int, serf: int, consul: int) -> dict[str, Any]:
    """What Nomad's agents have in common; the arguments are ports."""
    loopback = "127.0.0.1"
    return {
        "bind_addr": loopback,
        "advertise": {"http": loopback, "rpc": loopback, "serf": loopback},
        "ports": {"http": http, "rpc": rpc, "serf": serf},
        "consul": {"address": f"{loopback}:{consul}"},
        "client": {"enabled": True, "network_interface": "lo", "max_kill_timeout": "120s"},
        "disable_update_check": True,
        "log_level": "INFO",
    }


def make_room(state: Path) -> None:
    """The folder of Nomad, without what an earlier run has left in it. The data stay.

    Raises ApphostError where other accounts, under which tasks run, cannot reach it.
    """
    shut = [str(folder) for folder in (state, *state.parents) if not folder.stat().st_mode & stat.S_IXOTH]
    if shut:
        raise ApphostError(
            f"The servers run under accounts of their own, and {' and '.join(reversed(shut))} shuts them out.",
            f"Let them pass: chmod o+x {' '.join(reversed(shut))}. Or keep the checkout elsewhere.",
        )
    end_leftovers(state)
    shutil.rmtree(state / "nomad", ignore_errors=True)
    (state / "nomad").mkdir(parents=True)


def end_leftovers(state: Path) -> None:
    """Ends what outlived its agent, and Nomad's mounts."""
    folder = state / "nomad"
    for pid in leftovers(state):
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    for line in reversed(Path("/proc/mounts").read_text().splitlines()):
        mounted = line.split()[1]
        if mounted.startswith(f"{folder}/"):
            subprocess.run(["umount", "--lazy", mounted], check=True)  # noqa: S603, S607 - Nomad's, in our folder


def leftovers(state: Path) -> Iterator[int]:
    """Tasks, executors, log writers. Known by where they work, too: nginx's workers write over their environment."""
    mark = f"{state / 'nomad'}/"
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):  # it has ended meanwhile
            if not entry.name.isdigit():
                continue
            told = (entry / "environ").read_bytes() + (entry / "cmdline").read_bytes()
            if mark.encode() in told or os.readlink(entry / "cwd").startswith(mark):
                yield int(entry.name)


def say(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()
