"""The kinds of part that the topology is made of."""

import os
import sys
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from services.apphost.checks import check_http, check_passing
from services.apphost.parts import Check, Part
from services.apphost.process import Command
from services.apphost.site import Site, instance_name

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
    after: tuple[str, ...] = (),
    number: int = 1,
) -> Part:
    """One of the shop's own processes, well when it says so and Consul, which each needs, passes callers on to it.

    ``also`` names further ports, of which ``admin`` is where its health is; ``number`` tells instances apart.
    """

    health = f"http://127.0.0.1:{also.get('admin', port)}/health"

    async def check() -> None:
        await check_http(health)
        if site.consul_url:
            await check_passing(site.consul_url, name, port)

    own = {"PORT": str(port)} | ({"ADMIN_PORT": str(also["admin"])} if "admin" in also else {})
    return Part(
        name=instance_name(name, number),
        service=name,
        health=health,
        command=_module(site, name, ("serve",), own | env[name]),
        ports={"main": port, **also},
        # A further instance waits for the first: on few cores all at once would start slowly, each of them.
        needs=(*needs, "consul") if number == 1 else (*needs, "consul", name),
        after=after,
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


def telemetry(site: Site) -> dict[str, str]:
    """Where traces, metrics and logs go: to the dashboard, if there is one, unless the caller names another place."""
    if not site.observed or os.environ.get("OTEL_EXPORTER_OTLP_ENDPOINT"):
        return {}
    return {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{site.ports.otlp}"}


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
    fixed = {f"{name.upper()}_ADDR": site.addresses(name) for name in ("catalog", "identity", "ordering")}
    return {
        "ENVIRONMENT": "development",
        "HOST": "127.0.0.1",
        "CONSUL_HTTP_ADDR": site.consul_url,
        "CONSUL_REGISTER": "on",
        "LOG_FORMAT": site.log_format,
        "PYTHONUNBUFFERED": "1",
        **({} if site.consul_url else fixed | {"PAYMENTS_ADDR": f"127.0.0.1:{site.ports.payments}"}),
        **STOPPING,
    }
