"""``up``: the parts under a supervisor, until somebody says stop."""

import asyncio
import dataclasses
import signal
import time
from collections.abc import Callable, Collection, Sequence

from services.apphost.console import Console
from services.apphost.control import open_control
from services.apphost.parts import Part
from services.apphost.site import Site, instance_name
from services.apphost.sockets import make_private
from services.apphost.state import write_running
from services.apphost.supervisor import Pids, Supervisor

# `make` passes a signal on that the terminal has sent already; the echo is no second Ctrl-C.
IMPATIENT_S = 0.5
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


async def up(site: Site, parts: Sequence[Part], console: Console) -> None:
    """Run the parts until a signal asks to stop; a second signal does not wait for anything.

    Raises ApphostError when a part does not start. Nothing runs any more when it returns or raises.
    """
    fixed = {"urls": site.urls(), "ports": dataclasses.asdict(site.ports), "control": str(site.control)}

    def publish(pids: Pids, ready: bool) -> None:
        write_running(site.state, {"ready": ready, "pids": pids, **fixed})

    supervisor = Supervisor(parts, console, site.state, publish)
    asked = _listen_for_stop(supervisor)
    if not site.consul_url:
        console.problem("There is no Consul here: the services find each other at fixed addresses.")
    if site.control.parent != site.state.absolute():  # which was made private when it was opened
        make_private(site.control.parent)
    try:
        async with open_control(site.control, supervisor.keepers):
            await _run_until(asked, supervisor, lambda took_s: console.block(_welcome(site, parts, took_s)))
    finally:
        console.note("stopping")
        await supervisor.stop()
        console.note("stopped")


async def _run_until(asked: asyncio.Event, supervisor: Supervisor, welcome: Callable[[float], None]) -> None:
    began = time.monotonic()
    running = asyncio.create_task(supervisor.run(lambda: welcome(time.monotonic() - began)))
    stopping = asyncio.create_task(asked.wait())
    try:
        await asyncio.wait({running, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if running.done():
            await running
    finally:
        stopping.cancel()
        running.cancel()
        await asyncio.wait({running})


def _listen_for_stop(supervisor: Supervisor) -> asyncio.Event:
    asked = asyncio.Event()
    first_at = 0.0

    def ask() -> None:
        nonlocal first_at
        if not asked.is_set():
            first_at = time.monotonic()
            asked.set()
        elif time.monotonic() - first_at > IMPATIENT_S:
            supervisor.kill()

    for number in STOP_SIGNALS:
        asyncio.get_running_loop().add_signal_handler(number, ask)
    return asked


def _welcome(site: Site, parts: Sequence[Part], took_s: float) -> str:
    rows = {
        "gateway": ("The shop", f"http://localhost:{site.ports.gateway}"),
        "mailbox": ("Its mails", f"http://localhost:{site.ports.mailbox}"),
        "dashboard": ("See inside", f"http://localhost:{site.ports.dashboard}"),
        "consul": ("Consul", site.consul_url),
    }
    running = {part.name for part in parts}
    lines = [f"Everything runs, after {took_s:.0f} s.", ""]
    lines += [f"  {label:<10} {url}" for name, (label, url) in rows.items() if name in running]
    if "gateway" in running:
        lines.append(f"  {'Log in as':<10} demo@ticketflow.test, with the password: correct horse battery")
    return "\n".join([*lines, *_about_instances(site, running), "", "Ctrl-C stops everything."])


def _about_instances(site: Site, running: Collection[str]) -> list[str]:
    gateways = [
        ports.gateway for number, ports in site.instances.items() if instance_name("gateway", number) in running
    ]
    if len(gateways) < 2:
        return []
    return [
        "",
        f"There are {len(gateways)} instances of each service. The same shop is open at each gateway:",
        *(f"  http://localhost:{port}" for port in gateways),
        "Links in mails lead to the first, and nothing here spreads people over them.",
    ]
