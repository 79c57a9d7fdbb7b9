"""Takes out of Consul the services that Nomad registered and whose allocation is gone.

    python3 consul/reap.py [--really]

Without `--really` it only says what it would do. Nomad takes out its own as a rule; what stays behind, after a
node's disk was lost or an agent was replaced, is for this. A registration belongs to the agent of its node: run it
there. One of a node that is dead is taken out of the catalog from anywhere. If Nomad cannot be asked, nothing goes.
Consul and Nomad are found by CONSUL_HTTP_ADDR, CONSUL_HTTP_TOKEN, NOMAD_ADDR, NOMAD_TOKEN and, for TLS, by
CONSUL_ or NOMAD_ before CACERT, CLIENT_CERT and CLIENT_KEY. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote

CALL_TIMEOUT_S: Final = 10.0
NOMAD_ID: Final = re.compile(r"^_nomad-task-([0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12})-")
GONE: Final = frozenset({"complete", "failed", "lost"})


@dataclass(frozen=True)
class Instance:
    """A registration that Nomad made; `node_alive` as Consul's own members see it."""

    id: str
    service: str
    allocation: str
    node: str
    node_alive: bool


class Api:
    """JSON over HTTP at one address. Raises `OSError` where it does not answer, also for statuses from 400 up."""

    def __init__(self, address: str, headers: Mapping[str, str], tls: ssl.SSLContext) -> None:
        self._url = (address if "//" in address else f"http://{address}").rstrip("/")
        self._headers = dict(headers)
        self._tls = tls

    def call(self, path: str, *, put: object = None) -> Any:
        data = None if put is None else json.dumps(put).encode()
        request = urllib.request.Request(  # noqa: S310  # the operator's own address
            self._url + path, data=data, method="GET" if data is None else "PUT", headers=self._headers
        )
        with urllib.request.urlopen(request, timeout=CALL_TIMEOUT_S, context=self._tls) as answer:  # noqa: S310  # as above
            body = answer.read()
        return json.loads(body) if body.strip() else None


def instances(consul: Api) -> Iterator[Instance]:
    """Every service in the catalog whose id is of Nomad's making."""
    for service in consul.call("/v1/catalog/services"):
        for entry in consul.call(f"/v1/health/service/{quote(service, safe='')}"):
            found = NOMAD_ID.match(entry["Service"]["ID"])
            if found:
                node = entry["Node"]["Node"]
                serf = [check["Status"] for check in entry["Checks"] if check["CheckID"] == "serfHealth"]
                yield Instance(entry["Service"]["ID"], service, found[1], node, "critical" not in serf)


def is_gone(nomad: Api, allocation: str) -> bool:
    """Whether Nomad does not know the allocation, or knows that it has ended."""
    try:
        return nomad.call(f"/v1/allocation/{allocation}")["ClientStatus"] in GONE
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return True
        raise


def removal(consul: Api, instance: Instance, own_node: str) -> Callable[[], Any] | None:
    """How to take it out from here; None where only its own node's agent can, for it would put it back."""
    if instance.node == own_node:
        return lambda: consul.call(f"/v1/agent/service/deregister/{quote(instance.id, safe='')}", put={})
    if not instance.node_alive:
        body = {"Node": instance.node, "ServiceID": instance.id}
        return lambda: consul.call("/v1/catalog/deregister", put=body)
    return None


def reap(consul: Api, nomad: Api, *, really: bool) -> Iterator[str]:
    """Takes out what is left over; yields a line about each."""
    if not nomad.call("/v1/status/leader"):
        raise ConnectionError("Nomad has no leader")
    own_node = consul.call("/v1/agent/self")["Config"]["NodeName"]
    for instance in instances(consul):
        if not is_gone(nomad, instance.allocation):
            continue
        remove = removal(consul, instance, own_node)
        if remove is None:
            yield f"left: {instance.id} is for the agent of {instance.node}: run this there"
        elif really:
            remove()
            yield f"removed: {instance.id} on {instance.node}"
        else:
            yield f"would remove: {instance.id} on {instance.node}"


def tls(env: Mapping[str, str], program: str) -> ssl.SSLContext:
    """What the program's own command would trust and show. Raises `OSError` where a file cannot be read."""
    context = ssl.create_default_context(cafile=env.get(f"{program}_CACERT") or None)
    if env.get(f"{program}_CLIENT_CERT"):
        context.load_cert_chain(env[f"{program}_CLIENT_CERT"], env.get(f"{program}_CLIENT_KEY"))
    return context


def main() -> int:
    parser = argparse.ArgumentParser(description="Clears registrations whose Nomad allocation is gone.")
    parser.add_argument("--really", action="store_true", help="do it; without, only say what would be done")
    arguments = parser.parse_args()
    env = os.environ
    tokens = ({"X-Consul-Token": env.get("CONSUL_HTTP_TOKEN", "")}, {"X-Nomad-Token": env.get("NOMAD_TOKEN", "")})
    try:
        consul = Api(env.get("CONSUL_HTTP_ADDR", "127.0.0.1:8500"), tokens[0], tls(env, "CONSUL"))
        nomad = Api(env.get("NOMAD_ADDR", "127.0.0.1:4646"), tokens[1], tls(env, "NOMAD"))
        lines = list(reap(consul, nomad, really=arguments.really))
    except OSError as error:
        sys.stderr.write(f"reap: nothing more was done: {error}\n")
        return 1
    sys.stdout.write("".join(f"{line}\n" for line in lines) or "reap: nothing is left over\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
