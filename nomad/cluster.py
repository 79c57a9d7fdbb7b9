"""A shop's cluster on this machine: agents, keys, folders and files, for as long as a block lasts."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import pwd
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Set
from dataclasses import dataclass, field
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import quote

from nomad.agents import Node, end_leftovers, first_node, further_node, make_room
from nomad.place import PATH, ROOT, Place, Ports, http, until_answered, wait_for
from services.apphost.errors import ApphostError
from services.apphost.servers.consul import find_consul
from services.apphost.site import DATABASES

EMPTY_S: Final = 90.0  # for every task to end: shutdown_delay, the drain, and the longest kill_timeout
NOTHING: Final[Mapping[str, str]] = MappingProxyType({})
SENDERS: Final = ("catalog", "gateway", "identity", "notifications", "ordering", "payments")  # of telemetry
SERVERS: Final = {"postgres", "redis", "rabbitmq"}
OWNERS: Final = {
    "postgres": "postgres",
    "redis": "redis",
    "rabbitmq": "rabbitmq",
    "backups": "postgres",
    "payments": "nobody",
    "unpacked": "nobody",
}


@dataclass
class Cluster(Place):
    """The agents as `running_cluster` has started them."""

    nodes: list[Node] = field(default_factory=list)

    @property
    def environment(self) -> Path:
        """The variable file of deployments to these agents."""
        return self.state / "vars.hcl"

    def deployment(self, release: str, *jobs: str, variables: Mapping[str, str] = NOTHING) -> list[str]:
        """The command, for `env`, that deploys a release: all jobs, or those named."""
        options = [word for name, value in variables.items() for word in ("-v", f"{name}={value}")]
        sums = ["-s", str(self.dist / "SHA256SUMS")]
        return [str(ROOT / "nomad/deploy.sh"), *sums, *options, str(self.environment), release, *jobs]

    def secret(self, name: str) -> str:
        entry = self.consul(f"/v1/kv/ticketflow/secrets/{name}")[0]
        return base64.b64decode(entry["Value"]).decode()

    def urls(self) -> dict[str, str]:
        """What a shop of the app host publishes of itself; it holds passwords."""
        ports, database = self.ports, f"127.0.0.1:{self.ports.postgres}"
        owners = {name: self.secret(f"database/{name}") for name in DATABASES}
        return {
            "gateway": http(ports.ingress),
            "mailbox": http(ports.mailbox),
            "consul": http(ports.consul),
            "nomad": http(ports.nomad),
            "redis": f"redis://default:{self.secret('redis')}@127.0.0.1:{ports.redis}/0",
            "rabbitmq": f"amqp://ticketflow:{self.secret('rabbitmq')}@127.0.0.1:{ports.amqp}/",
        } | {f"{name}_database": f"postgres://{name}:{word}@{database}/{name}" for name, word in owners.items()}

    def running(self) -> list[dict[str, Any]]:
        """Every allocation that has not ended."""
        found: list[dict[str, Any]] = self.nomad("/v1/allocations")
        return [each for each in found if each["ClientStatus"] in ("pending", "running")]

    def stop_jobs(self) -> None:
        """Stops every job, servers last. Returns once no task runs any more, or when it takes too long.

        It purges nothing: a newer Nomad forgets purged allocations at once, while their tasks still drain.
        """
        names = {job["ID"] for job in self.nomad("/v1/jobs")}
        for wave in (names - SERVERS, names & SERVERS):
            for name in sorted(wave):
                self.nomad(f"/v1/job/{quote(name, safe='')}", method="DELETE")
            wait_for(partial(self._have_ended, wave), EMPTY_S)

    def _have_ended(self, jobs: Set[str]) -> bool:
        return jobs.isdisjoint(each["JobID"] for each in self.running())


@contextlib.contextmanager
def running_cluster(state: Path, dist: Path, ports: Ports, clients: int = 1) -> Iterator[Cluster]:
    """Agents inside the block, with the keys and folders that the jobs ask for; at its end nothing is left of them.

    `state` must be open to other accounts, under which tasks run. `dist` has the files of every release that is going
    to be deployed. Raises ApphostError.
    """
    consul = _require()
    cluster = Cluster(state, dist, ports)
    make_room(state)
    _make_volumes(cluster.volumes)
    with serving(dist, ports.artifacts), _agents(cluster, consul, clients):
        yield cluster


@contextlib.contextmanager
def serving(folder: Path, port: int) -> Iterator[None]:
    """The folder over HTTP, as any web server or object store would have it."""

    class Handler(SimpleHTTPRequestHandler):
        def log_message(self, *_: object) -> None:
            """Nothing: Nomad tells what it could not fetch."""

    server = ThreadingHTTPServer(("127.0.0.1", port), partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def _agents(cluster: Cluster, consul: str, clients: int) -> Iterator[None]:
    try:
        cluster.nodes.append(first_node(cluster, consul))
        _write_keys(cluster, consul)
        write_environment(cluster)
        for number in range(2, clients + 1):
            cluster.nodes.append(further_node(cluster, consul, number))
        until_answered(lambda: len(_ready_nodes(cluster)) == clients, "Nomad")
        yield
    finally:
        _stop(cluster)


def _require() -> str:
    """Consul's program."""
    consul = find_consul()
    missing = [name for name in ("nomad", "nginx") if shutil.which(name, path=PATH) is None]
    if consul is None or missing:
        raise ApphostError(
            f"These programs are not on PATH: {', '.join([*missing, *([] if consul else ['consul'])])}.",
            "Install Nomad (1.1 or newer) and Consul (1.8 or newer); `make setup-nomad` brings nginx.",
        )
    if os.geteuid() != 0:
        raise ApphostError("Nomad runs tasks under other accounts, so it needs root.", "Try again with sudo.")
    return consul


def _python() -> str:
    """A Python of the version that runs this and builds the files, where every account may run it."""
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    return shutil.which(name, path="/usr/bin:/usr/local/bin") or os.path.realpath(sys.executable)


def _make_volumes(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, account in OWNERS.items():
        (folder / name).mkdir(mode=0o700, exist_ok=True)
        user = pwd.getpwnam(account)
        os.chown(folder / name, user.pw_uid, user.pw_gid)


def write_environment(cluster: Cluster) -> None:
    """Development's variables, and those that hold only here."""
    ports = cluster.ports
    own = {
        "artifacts": http(ports.artifacts),
        "python": _python(),
        "unpacked": str(cluster.volumes / "unpacked"),
        "volumes": str(cluster.volumes),
        "backups": str(cluster.volumes / "backups"),
        "consul": http(ports.consul),
        "public_url": f"http://localhost:{ports.ingress}",
        "ingress_port": ports.ingress,
        "postgres_port": ports.postgres,
        "redis_port": ports.redis,
        "amqp_port": ports.amqp,
        "dashboard_port": ports.dashboard,
        "otlp_port": ports.otlp,
        "otlp_grpc_port": ports.otlp_grpc,
        "mailbox_port": ports.mailbox,
        "mailbox_url": http(ports.mailbox),
        "smtp_port": ports.smtp,
    }
    usual = (ROOT / "nomad/vars/dev.hcl").read_text().splitlines()
    kept = [line for line in usual if line.partition(" ")[0] not in own]
    cluster.environment.write_text("\n".join([*kept, *(f"{name} = {json.dumps(own[name])}" for name in own), ""]))


def _write_keys(cluster: Cluster, consul: str) -> None:
    """The keys of development, with the addresses that hold here."""
    ports = cluster.ports
    servers = {"postgres": ports.postgres, "redis": ports.redis, "rabbitmq": ports.amqp}
    options = [word for name, port in servers.items() for word in ("--server", f"{name}=127.0.0.1:{port}")]
    _run(cluster, sys.executable, str(ROOT / "consul/seed.py"), "dev", *options, "--config-anew")
    _run(cluster, consul, "kv", "put", "ticketflow/config/notifications/SMTP_PORT", str(ports.smtp))
    for service in SENDERS:
        key = f"ticketflow/config/{service}/OTEL_EXPORTER_OTLP_ENDPOINT"
        _run(cluster, consul, "kv", "put", key, http(ports.otlp))


def _run(cluster: Cluster, *command: str) -> None:
    subprocess.run(command, env=cluster.env, check=True, stdout=subprocess.DEVNULL)  # noqa: S603 - ours


def _stop(cluster: Cluster) -> None:
    """Further clients would leave their tasks running, so all tasks end first."""
    if cluster.nodes:
        with contextlib.suppress(OSError):  # an agent that died: what it has left is ended below
            cluster.stop_jobs()
    for node in reversed(cluster.nodes):
        node.stop()
    end_leftovers(cluster.state)


def _ready_nodes(cluster: Cluster) -> list[str]:
    return [node["ID"] for node in cluster.nomad("/v1/nodes") if node["Status"] == "ready"]
