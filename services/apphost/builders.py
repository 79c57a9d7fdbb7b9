"""The kinds of part that the topology is made of."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from services.apphost.checks import check_http, check_passing
from services.apphost.parts import Check, Part
from services.apphost.process import Command
from services.apphost.site import Site

Environments = Mapping[str, dict[str, str]]

CHECKOUT = Path(__file__).parents[2]
WIDE = "1000000"

# Local stops are short: nobody waits ten seconds for a Ctrl-C, and no load balancer needs time to look away.
STOPPING = {"DRAIN_S": "0", "GRACE_S": "2"}


def service(
    site: Site,
    name: str,
    env: Environments,
    *,
    port: int,
    also: Mapping[str, int] = MappingProxyType({}),
    needs: tuple[str, ...] = (),
) -> Part:
    """One of the shop's own processes, well when it says so and Consul, which each needs, passes callers on to it.

    ``also`` names further ports, of which ``admin`` is where its health is.
    """

    async def check() -> None:
        await check_http(f"http://127.0.0.1:{also.get('admin', port)}/health")
        if site.consul_url:
            await check_passing(site.consul_url, name, port)

    own = {"PORT": str(port)} | ({"ADMIN_PORT": str(also["admin"])} if "admin" in also else {})
    return Part(
        name=name,
        command=_module(site, name, ("serve",), own | env[name]),
        ports={"main": port, **also},
        needs=(*needs, "consul"),
        check=check,
    )


def step(site: Site, name: str, verbs: tuple[str, ...], env: Environments, *, needs: tuple[str, ...]) -> Part:
    """A service's verbs that run to their end, such as ``migrate``; in one process, as each start costs a second."""
    return Part(name=f"{name}-data", command=_module(site, name, verbs, env[name]), needs=needs)


def elsewhere(name: str, check: Check, *, provision: Check | None = None) -> Part:
    """A server that the environment names: somebody else runs it."""
    return Part(name=name, command=None, check=check, provision=provision, patience_s=15)


def database(site: Site, name: str) -> dict[str, str]:
    return {"DATABASE_URL": site.database_url(name)}


def unlimited(*names: str) -> dict[str, str]:
    """Rate limits per address that a load test from one machine does not reach."""
    return {f"{name}_LIMIT": WIDE for name in names}


def _module(site: Site, name: str, verbs: tuple[str, ...], env: Mapping[str, str]) -> Command:
    return Command(
        argv=[sys.executable, "-m", f"services.{name}", *verbs],
        env=_inherited() | _common(site) | dict(env),
        cwd=CHECKOUT,
    )


def _inherited() -> dict[str, str]:
    """The caller's environment, so that any setting can be tried out, less what only the app host may know."""
    return {key: value for key, value in os.environ.items() if not key.startswith("TICKETFLOW_")}


def _common(site: Site) -> dict[str, str]:
    ports = site.ports
    fixed = {
        "CATALOG_ADDR": f"127.0.0.1:{ports.catalog}",
        "IDENTITY_ADDR": f"127.0.0.1:{ports.identity}",
        "ORDERING_ADDR": f"127.0.0.1:{ports.ordering}",
        "PAYMENTS_ADDR": f"127.0.0.1:{ports.payments}",
    }
    return {
        "ENVIRONMENT": "development",
        "HOST": "127.0.0.1",
        "CONSUL_HTTP_ADDR": site.consul_url,
        "CONSUL_REGISTER": "on",
        "LOG_FORMAT": site.log_format,
        "PYTHONUNBUFFERED": "1",
        **({} if site.consul_url else fixed),
        **STOPPING,
    }
