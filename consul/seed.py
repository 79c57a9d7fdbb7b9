"""Writes into Consul's KV what the Nomad jobs read: made-up secrets, the servers' addresses, the tunables.

    python3 consul/seed.py dev|prod [--server postgres=10.0.0.5:5432]… [--config-anew]

What is there already stays, so it may run again at any time; `--config-anew` writes addresses and tunables over,
but never a secret. Consul is found by CONSUL_HTTP_ADDR and CONSUL_HTTP_TOKEN. Needs nothing but Python.

    ticketflow/secrets/…               passwords and signing keys
    ticketflow/servers/<server>        host:port
    ticketflow/config/<service>/<KEY>  settings, by the environment's name for them
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import sys
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Final

CALL_TIMEOUT_S: Final = 10.0
KV: Final = Path(__file__).parent / "kv"
SECRETS: Final = (
    "csrf",
    "dashboard-token",
    "database/catalog",
    "database/identity",
    "database/ordering",
    "database/postgres",
    "grafana",
    "jwt",
    "payments-api-key",
    "rabbitmq",
    "redis",
    "service-token",
)


def made_up_secrets() -> dict[str, str]:
    """64 hexadecimal digits each: long enough to sign with, and nothing that a URL or SQL would need to quote."""
    return {f"ticketflow/secrets/{name}": secrets.token_hex(32) for name in SECRETS}


def plain_keys(environment: str, servers: Mapping[str, str]) -> dict[str, str]:
    """Addresses and tunables of kv/<environment>.json; `servers` goes before its addresses."""
    told = json.loads((KV / f"{environment}.json").read_text())
    keys = {f"ticketflow/servers/{name}": address for name, address in (told["servers"] | servers).items()}
    for service, config in told["config"].items():
        keys |= {f"ticketflow/config/{service}/{key}": value for key, value in config.items()}
    return keys


def put(key: str, value: str, *, anew: bool = False) -> bool:
    """Writes the key, only if it is missing unless `anew`; tells whether it was written."""
    address = os.environ.get("CONSUL_HTTP_ADDR", "127.0.0.1:8500")
    url = address if "//" in address else f"http://{address}"
    request = urllib.request.Request(  # noqa: S310  # the operator's own address
        f"{url.rstrip('/')}/v1/kv/{key}{'' if anew else '?cas=0'}",
        data=value.encode(),
        method="PUT",
        headers={"X-Consul-Token": os.environ.get("CONSUL_HTTP_TOKEN", "")},
    )
    with urllib.request.urlopen(request, timeout=CALL_TIMEOUT_S) as answer:  # noqa: S310  # as above
        return bool(json.load(answer))


def server_address(text: str) -> tuple[str, str]:
    name, equals, address = text.partition("=")
    if name not in ("postgres", "redis", "rabbitmq") or not equals or not address.rpartition(":")[2].isdigit():
        raise argparse.ArgumentTypeError(f"{text!r} is not postgres|redis|rabbitmq=host:port")
    return name, address


def main() -> int:
    parser = argparse.ArgumentParser(description="Fills Consul's KV for the Nomad jobs.")
    parser.add_argument("environment", choices=sorted(path.stem for path in KV.glob("*.json")))
    parser.add_argument("--server", action="append", default=[], type=server_address, metavar="NAME=HOST:PORT")
    parser.add_argument("--config-anew", action="store_true", help="overwrite addresses and tunables, not secrets")
    arguments = parser.parse_args()
    try:
        written = [key for key, value in made_up_secrets().items() if put(key, value)]
        for key, value in plain_keys(arguments.environment, dict(arguments.server)).items():
            if put(key, value, anew=arguments.config_anew):
                written.append(key)
    except urllib.error.HTTPError as error:
        sys.stderr.write(f"seed: Consul says {error.code} {error.reason} to {error.url}\n")
        return 1
    except OSError as error:
        sys.stderr.write(f"seed: Consul does not answer: {error}\n")
        return 1
    sys.stdout.write("".join(f"{key}\n" for key in written))
    sys.stdout.write(f"seed: {len(written)} keys written, the others were there\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
