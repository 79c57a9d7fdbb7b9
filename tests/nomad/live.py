"""A shop on a real Nomad, and a crowd before its ingress that counts every request that failed."""

from __future__ import annotations

import asyncio
import os
import random
import secrets
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Final
from urllib.request import urlopen

import aiohttp

from nomad.agents import STOP_S, consul_data, consul_server, leftovers
from nomad.cluster import Cluster, running_cluster
from nomad.place import ROOT, Ports
from services.apphost.audit.ledger import judge
from services.apphost.audit.read import read_books
from services.apphost.process import descendants
from services.apphost.rush.stage import Concert, publish_concert
from services.apphost.servers.consul import find_consul
from tests.integration.shop import Shop

SERVICES: Final = ("payments", "catalog", "identity", "ordering", "notifications", "gateway")
BUILT: Final = "1"  # the first release
WORKERS: Final = 3
PAUSE_S: Final = 0.15  # between two requests of a buyer: a small load, for the machine also runs all the rest
TICKETS: Final = 2_000
SETTLE_S: Final = 90.0
PLACE: Final = "mutation($input: PlaceOrderInput!) { placeOrder(input: $input) { id status } }"
PAY: Final = "mutation($input: PayOrderInput!) { payOrder(input: $input) { id status } }"
CONCERTS: Final = "{ concerts(first: 10) { nodes { slug available } } }"
CARD: Final = {"number": "4242424242424242", "expiry": "12/40", "cvc": "123"}


@dataclass
class Crowd:
    """`failures` holds each request that was not answered as it should be; none is sent twice."""

    answered: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)
    orders: dict[str, str] = field(default_factory=dict)  # id to the status that the buyer was told
    slowest_s: float = 0.0

    def __str__(self) -> str:
        requests = ", ".join(f"{count} {kind}" for kind, count in sorted(self.answered.items()))
        return f"{requests}; {len(self.failures)} failed; slowest {self.slowest_s:.2f} s"


@dataclass(frozen=True)
class LiveShop:
    """The shop as deployed; `told` is what its buyers were told of their orders."""

    cluster: Cluster
    told: dict[str, str] = field(default_factory=dict)

    @property
    def url(self) -> str:
        return self.cluster.urls()["gateway"]

    def deploy(
        self, release: str, *jobs: str, variables: Mapping[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        command = self.cluster.deployment(release, *jobs, variables=variables or {})
        return subprocess.run(command, env=self.cluster.env, capture_output=True, text=True, check=False)

    def publish(self, release: str) -> None:
        """The files that were built, under the release's name: it is told by the job which one it is."""
        sums = (self.cluster.dist / "SHA256SUMS").read_text().splitlines()
        built = [line.split() for line in sums if line.endswith(f"-{BUILT}.pex")]
        renamed = [(digest, name.replace(f"-{BUILT}.pex", f"-{release}.pex"), name) for digest, name in built]
        for _, name, source in renamed:
            (self.cluster.dist / name).hardlink_to(self.cluster.dist / source)
        lines = [*sums, *(f"{digest}  {name}" for digest, name, _ in renamed)]
        (self.cluster.dist / "SHA256SUMS").write_text("\n".join(lines) + "\n")

    def allocations(self, job: str) -> list[dict[str, Any]]:
        """Those that run, as Nomad lists them."""
        found: list[dict[str, Any]] = self.cluster.nomad(f"/v1/job/{job}/allocations")
        return [each for each in found if (each["DesiredStatus"], each["ClientStatus"]) == ("run", "running")]

    def registrations(self, service: str, *, passing: bool = False) -> list[dict[str, Any]]:
        """Consul's entries, of the passing instances or of all."""
        query = "?passing=true" if passing else ""
        found: list[dict[str, Any]] = self.cluster.consul(f"/v1/health/service/{service}{query}")
        return found

    def port(self, service: str, allocation: str) -> int:
        """The port under which Consul knows the instance; 0 where it does not."""
        found = [each["Service"] for each in self.registrations(service) if allocation in each["Service"]["ID"]]
        return int(found[0]["Port"]) if found else 0

    def is_called(self, service: str, port: int) -> bool:
        """Whether Consul sends callers to the port, or the ingress has it in its configuration still."""
        listed = any(each["Service"]["Port"] == port for each in self.registrations(service, passing=True))
        (ingress,) = self.allocations("ingress")
        config = self.cluster.state / f"nomad/1/alloc/{ingress['ID']}/nginx/local/nginx.conf"
        is_read = time.time() - config.stat().st_mtime > 1  # nginx is told of it right after it is written
        return listed or f":{port} " in config.read_text() or not is_read

    def is_open(self) -> bool:
        """Whether the ingress knows a gateway that is well: it reads Consul a moment after all others."""
        try:
            with urlopen(f"{self.url}/-/ready", timeout=5):
                return True
        except OSError:
            return False

    def processes(self, allocation: str) -> list[int]:
        """The task's processes: those with the allocation's id in their environment."""
        return [pid for pid in map(int, filter(str.isdigit, os.listdir("/proc"))) if _is_task(pid, allocation)]

    @property
    def _consul(self) -> str:
        program = find_consul()
        assert program  # or these tests would have been skipped
        return program

    def run_consul(self, *words: str) -> None:
        """Consul's own command, in the folder of the state."""
        subprocess.run(
            [self._consul, *words], env=self.cluster.env, cwd=self.cluster.state, check=True, capture_output=True
        )

    def restart_consul_empty(self) -> None:
        """Its server loses its disk. Returns once it leads again, and knows nothing."""
        node = self.cluster.nodes[0]
        node.consul.kill()
        node.consul.join(STOP_S)
        shutil.rmtree(consul_data(self.cluster))
        self.cluster.nodes[0] = replace(node, consul=consul_server(self.cluster, self._consul))

    def log(self, allocation: str) -> str:
        """What the task has written of late."""
        files = self.cluster.state.glob(f"nomad/*/alloc/{allocation}/alloc/logs/app.std*")
        return "".join(path.read_text() for path in files)

    def dumps(self, database: str) -> list[Path]:
        """The finished ones of the backup job, oldest first."""
        return sorted((self.cluster.volumes / "backups" / database).glob("*.dump"))

    async def close(self) -> None:
        """Fails unless the books close once everything in flight has come to rest."""
        deadline = time.monotonic() + SETTLE_S
        while True:
            books = await read_books(self.cluster.volumes / "payments", self.cluster.urls(), self.told)
            findings = judge(books)
            if not findings:
                return
            assert time.monotonic() < deadline, findings
            await asyncio.sleep(1)


def _is_task(pid: int, allocation: str) -> bool:
    try:
        return f"NOMAD_ALLOC_ID={allocation}\0".encode() in Path(f"/proc/{pid}/environ").read_bytes()
    except OSError:  # it has ended meanwhile
        return False


@contextmanager
def live_shop() -> Iterator[LiveShop]:
    """Everything on a Nomad of its own, with two clients, on free ports."""
    with tempfile.TemporaryDirectory(prefix="ticketflow-nomad-") as name:
        state = Path(name)
        state.chmod(0o711)  # the servers run under accounts of their own
        dist = _built(state / "dist")
        with running_cluster(state, dist, Ports.free(), clients=2) as cluster:
            shop = LiveShop(cluster)
            result = shop.deploy(BUILT)
            assert result.returncode == 0, result.stdout + result.stderr
            yield shop
        assert list(leftovers(state)) == []


def _built(folder: Path) -> Path:
    """The services' files, made from the sources as they are; or those of TICKETFLOW_DIST, which saves minutes."""
    if given := os.environ.get("TICKETFLOW_DIST"):
        shutil.copytree(given, folder)
    else:
        subprocess.run([sys.executable, "-m", "scripts.dist", BUILT, "--into", str(folder)], cwd=ROOT, check=True)
    return folder


@asynccontextmanager
async def crowd_at(shop: LiveShop) -> AsyncIterator[Crowd]:
    """Buyers are at it inside the block; at its end they finish what they have begun."""
    crowd, stop = Crowd(), asyncio.Event()
    concert = await publish_concert(shop.cluster.urls()["catalog_database"], TICKETS, secrets.token_hex(4))
    # A connection for each request: when the ingress reads a new configuration, it closes those that it kept open.
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(limit=0, force_close=True), timeout=aiohttp.ClientTimeout(total=60)
    ) as http:
        buyers = [_Buyer(Shop(http, shop.url), crowd, concert) for _ in range(WORKERS)]
        for buyer in buyers:
            await buyer.shop.register()
        tasks = [asyncio.create_task(buyer.run(stop)) for buyer in buyers]
        try:
            yield crowd
        finally:
            stop.set()
            await asyncio.gather(*tasks)
            shop.told.update(crowd.orders)


@dataclass
class _Buyer:
    shop: Shop
    crowd: Crowd
    concert: Concert

    async def run(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for step in (self._look, self._browse, self._buy):
                await step()
                await asyncio.sleep(PAUSE_S * random.uniform(0.5, 1.5))

    async def _look(self) -> None:
        url = f"{self.shop.gateway}/concerts/{self.concert.slug}"

        async def get() -> str:
            async with self.shop.http.get(url) as answer:
                return "" if answer.status == 200 else f"status {answer.status}"

        await self._count("page", get())

    async def _browse(self) -> None:
        await self._ask("query", CONCERTS, {})

    async def _buy(self) -> None:
        line = {"tierId": self.concert.tier_id, "quantity": 1}
        wish = {"concertId": self.concert.id, "lines": [line], "idempotencyKey": secrets.token_hex(8)}
        placed = await self._ask("place", PLACE, {"input": wish})
        if placed:
            payment = {"orderId": placed["placeOrder"]["id"], "card": CARD, "idempotencyKey": secrets.token_hex(8)}
            await self._ask("pay", PAY, {"input": payment})

    async def _ask(self, kind: str, query: str, variables: Mapping[str, Any]) -> dict[str, Any]:
        data: dict[str, Any] = {}

        async def post() -> str:
            status, body = await self.shop.post_graphql({"query": query, "variables": variables})
            data.update(body.get("data") or {})
            return "" if status == 200 and not body.get("errors") else f"status {status}: {body.get('errors')}"

        await self._count(kind, post())
        for answer in data.values():
            if isinstance(answer, dict) and "status" in answer:
                self.crowd.orders[answer["id"]] = answer["status"]
        return data if all(data.values()) else {}

    async def _count(self, kind: str, request: Awaitable[str]) -> None:
        began = time.monotonic()
        try:
            complaint = await request
        except (aiohttp.ClientError, OSError, ValueError) as error:
            complaint = f"{type(error).__name__}: {error}"
        took_s = time.monotonic() - began
        self.crowd.slowest_s = max(self.crowd.slowest_s, took_s)
        self.crowd.answered[kind] += 1
        if complaint:
            self.crowd.failures.append(f"{time.strftime('%X')} {kind} after {took_s:.2f} s: {complaint}")


async def until(condition: Callable[[], bool], within_s: float, what: str) -> float:
    """Seconds until the condition held. Fails, saying what should have been, when it does not in time."""
    began = time.monotonic()
    while not await asyncio.to_thread(condition):
        assert time.monotonic() - began < within_s, f"not within {within_s:g} s: {what}"
        await asyncio.sleep(0.5)
    return time.monotonic() - began


@contextmanager
def frozen(pids: list[int]) -> Iterator[None]:
    """The processes do not run inside the block; those that live on are thawed at its end."""
    everyone = {*pids, *(below for pid in pids for below in descendants(pid))}
    _signal(everyone, signal.SIGSTOP)
    try:
        yield
    finally:
        _signal(everyone, signal.SIGCONT)


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue
