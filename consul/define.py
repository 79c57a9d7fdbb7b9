"""Puts into Consul what the shop's files say: prepared queries, intentions, and, with --acl, policies and tokens.

    python3 consul/define.py [--mesh] [--acl]

What is there under the same name and differs is replaced, all else stays as it is, so it may run again at any time.
Consul is found by CONSUL_HTTP_ADDR and CONSUL_HTTP_TOKEN. Needs nothing but Python.

    queries/<name>.json     near-<service> and settled-<service>, by DNS too: near-otel.query.consul
    intentions.json         --mesh: who may call whom through sidecars; {destination: {source: allow or deny}}
    policies/<name>.hcl     --acl: the policy ticketflow-<name>, and a token for each service that asks Consul itself,
                            under ticketflow/secrets/consul/<service>
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

HERE: Final = Path(__file__).parent
CALL_TIMEOUT_S: Final = 10.0
WITH_TOKEN: Final = ("dashboard", "gateway", "ordering")


def call(path: str, *, put: object = None, method: str = "") -> Any:
    """JSON over HTTP. Raises `OSError` where Consul does not answer, also for statuses from 400 up."""
    address = os.environ.get("CONSUL_HTTP_ADDR", "127.0.0.1:8500")
    url = address if "//" in address else f"http://{address}"
    request = urllib.request.Request(  # noqa: S310  # the operator's own address
        url.rstrip("/") + path,
        data=None if put is None else (put if isinstance(put, bytes) else json.dumps(put).encode()),
        method=method or ("GET" if put is None else "PUT"),
        headers={"X-Consul-Token": os.environ.get("CONSUL_HTTP_TOKEN", "")},
    )
    with urllib.request.urlopen(request, timeout=CALL_TIMEOUT_S) as answer:  # noqa: S310  # as above
        body = answer.read()
    return json.loads(body) if body.strip() else None


def define_queries() -> Iterator[str]:
    there = {query["Name"]: query for query in call("/v1/query")}
    for path in sorted((HERE / "queries").glob("*.json")):
        wanted = json.loads(path.read_text())
        name = wanted["Name"]
        if name not in there:
            call("/v1/query", put=wanted, method="POST")
        elif not _says(there[name], wanted):
            call(f"/v1/query/{there[name]['ID']}", put=wanted)
        else:
            continue
        yield f"query {name}<service>"


def define_intentions() -> Iterator[str]:
    """By the calls that Consul 1.8 knows and later ones still do."""
    there = {(each["SourceName"], each["DestinationName"]): each for each in call("/v1/connect/intentions") or []}
    for destination, sources in json.loads((HERE / "intentions.json").read_text()).items():
        for source, action in sources.items():
            wanted = {"SourceName": source, "DestinationName": destination, "SourceType": "consul", "Action": action}
            found = there.get((source, destination))
            if found is None:
                call("/v1/connect/intentions", put=wanted, method="POST")
            elif found["Action"] != action:
                call(f"/v1/connect/intentions/{found['ID']}", put=wanted)
            else:
                continue
            yield f"intention {source} -> {destination}: {action}"


def define_policies() -> Iterator[str]:
    there = {policy["Name"]: policy["ID"] for policy in call("/v1/acl/policies")}
    for path in sorted((HERE / "policies").glob("*.hcl")):
        name, rules = f"ticketflow-{path.stem}", path.read_text()
        if name not in there:
            call("/v1/acl/policy", put={"Name": name, "Rules": rules})
        elif call(f"/v1/acl/policy/{there[name]}")["Rules"] != rules:
            call(f"/v1/acl/policy/{there[name]}", put={"ID": there[name], "Name": name, "Rules": rules})
        else:
            continue
        yield f"policy {name}"


def hand_out_tokens() -> Iterator[str]:
    """A token for each that has none yet; its secret is seen nowhere but under its key."""
    for service in WITH_TOKEN:
        key = f"/v1/kv/ticketflow/secrets/consul/{service}"
        if not _is_there(key):
            body = {"Description": f"{service} of the shop", "Policies": [{"Name": f"ticketflow-{service}"}]}
            call(key, put=str(call("/v1/acl/token", put=body)["SecretID"]).encode())
            yield f"token of {service}"


def _says(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> bool:
    """Whether all that is wanted stands in what was found, which has defaults beside it."""
    return all(
        _says(found.get(key) or {}, value) if isinstance(value, dict) else found.get(key) == value
        for key, value in wanted.items()
    )


def _is_there(key: str) -> bool:
    try:
        call(key)
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return False
        raise
    return True


def define(*, mesh: bool, acl: bool) -> Iterator[str]:
    """Yields a line about each thing that was not as it should be, and is now."""
    yield from define_queries()
    if mesh:
        yield from define_intentions()
    if acl:
        yield from define_policies()
        yield from hand_out_tokens()


def main() -> int:
    parser = argparse.ArgumentParser(description="Puts queries, intentions, policies and tokens into Consul.")
    parser.add_argument("--mesh", action="store_true", help="intentions too: nothing else may call anything then")
    parser.add_argument("--acl", action="store_true", help="policies and tokens too")
    arguments = parser.parse_args()
    try:
        for line in define(mesh=arguments.mesh, acl=arguments.acl):
            sys.stdout.write(f"{line}\n")
    except urllib.error.HTTPError as error:
        sys.stderr.write(f"define: Consul says {error.code} {error.reason} to {error.url}: {error.read().decode()}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"define: Consul does not answer: {error}\n")
        return 1
    sys.stdout.write("define: all is as the files say\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
