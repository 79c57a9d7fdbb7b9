"""A further instance of a service beside the shop's own, told otherwise: where to die, or whom to ask."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import aiohttp

from services.apphost.parts import Part
from services.apphost.ports import free_ports
from services.apphost.process import Command, Process, run_once, start
from services.apphost.site import Ports, Secrets, Site
from services.apphost.state import SECRETS
from services.apphost.system import System
from services.apphost.topology import topology
from services.ordering.crash import EXIT_CODE

START_S = 40.0
SHORT_TIMES = {
    "ORDERING_HOLD_TTL_S": "60",  # outlives an outage and what follows; tests of lapsing holds set their own
    "EXPIRY_GRACE_S": "0.5",
    "KEY_LEASE_S": "2",
    "WORK_LEASE_S": "4",
    "RECHECK_S": "0.5",
    "RECOVERY_INTERVAL_S": "0.2",
    "PAYMENTS_TIMEOUT_S": "2",
    "PAYMENTS_LATE_S": "3",
    "PAYMENTS_STALL_S": "5",
    "RETRY_DELAYS_S": "1",  # one more try, then a dead letter
}


@dataclass(frozen=True)
class Instance:
    """`url` is where its health is; for all but the catalog its API too. `output`: the lines it has printed."""

    url: str
    port: int
    process: Process
    output: list[str]

    async def died(self, within_s: float = 10.0) -> None:
        """Returns once it has died at the step it was told. Fails for any other end, or none."""
        async with asyncio.timeout(within_s):
            code = await self.process.wait()
        assert code == EXIT_CODE, (code, self.output[-5:])

    def said(self, *words: str) -> bool:
        return any(all(word in line for word in words) for line in self.output)


@asynccontextmanager
async def instance(
    system: System, name: str, *, sabotage: str = "", clock: str = "", **settings: str
) -> AsyncIterator[Instance]:
    """One that serves, unknown to Consul; gone at the end, whatever happens.

    `sabotage` names the safety mechanism that it lacks, `clock` how far its clock is off ("+90s").
    """
    port, admin_port = free_ports(2)
    own = {"PORT": str(port), "CONSUL_REGISTER": "off", "LOG_FORMAT": "json"}
    if name == "catalog":
        own["ADMIN_PORT"] = str(admin_port)
    command = _command(system, name, own | settings)
    if sabotage:
        argv = [sys.executable, "-m", "tests.faults.sabotage", sabotage, f"services.{name}", "serve"]
        command = dataclasses.replace(command, argv=argv)
    if clock:
        argv = ["faketime", "-f", "--exclude-monotonic", clock, *command.argv]
        command = dataclasses.replace(command, argv=argv)
    output: list[str] = []
    process = start(command, output.append)
    try:
        url = f"http://127.0.0.1:{admin_port if name == 'catalog' else port}"
        await _until_alive(url, process, output)
        yield Instance(url, port, process, output)
    finally:
        await process.stop(3)


async def run_verb(system: System, name: str, verb: str) -> str:
    """What a service's verb prints. Raises ApphostError where it fails."""
    command = _command(system, name, {})
    return await asyncio.to_thread(run_once, dataclasses.replace(command, argv=[*command.argv[:-1], verb]))


def addresses(system: System, **others: str) -> dict[str, str]:
    """Settings by which an instance finds the shop's services without Consul; `others` by another way."""
    known = {f"{name.upper()}_ADDR": system.urls[name].removeprefix("http://") for name in ("catalog", "payments")}
    return {"CONSUL_HTTP_ADDR": ""} | known | {f"{name.upper()}_ADDR": address for name, address in others.items()}


def _command(system: System, name: str, settings: dict[str, str]) -> Command:
    command = _part(system, name).command
    assert command is not None
    return dataclasses.replace(command, env={**command.env, **SHORT_TIMES, **settings})


def _part(system: System, name: str) -> Part:
    kept = json.loads((system.state / SECRETS).read_text())
    site = Site(state=system.state, ports=Ports(**system.ports), secrets=Secrets(**kept))
    (part,) = (part for part in topology(site) if part.name == name)
    return part


async def _until_alive(url: str, process: Process, output: list[str]) -> None:
    async with aiohttp.ClientSession() as http, asyncio.timeout(START_S):
        while True:
            assert process.exit_code is None, output[-20:]
            try:
                async with http.get(f"{url}/alive") as answer:
                    if answer.status == 200:
                        return
            except aiohttp.ClientError:
                await asyncio.sleep(0.05)
