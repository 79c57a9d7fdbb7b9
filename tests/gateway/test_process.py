"""The gateway as its own process, with nobody behind it: what SIGHUP changes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

import requests

from services.apphost.ports import free_ports
from tests.processes import serving, wait_until

NOBODY = {f"{name}_ADDR": "127.0.0.1:1" for name in ("CATALOG", "IDENTITY", "ORDERING")}


def settings(tunables: Path) -> dict[str, str]:
    secrets = dict.fromkeys(("JWT_SECRET", "CSRF_SECRET"), "a signing key of the tests, 32 bytes or more")
    (port,) = free_ports(1)
    return (
        {"PATH": os.environ["PATH"], "PORT": str(port), "DRAIN_S": "0", "TUNABLES_FILE": str(tunables)}
        | secrets
        | NOBODY
    )


def test_what_a_query_may_cost_changes_at_sighup(tmp_path: Path) -> None:
    file = tmp_path / "tunables.env"
    file.write_text("GRAPHQL_MAX_ALIASES=1\n")
    with serving("gateway", settings(file), ready="/alive") as (process, address):

        def is_answered(query: str) -> bool:
            return "data" in requests.post(f"{address}/graphql", json={"query": query}, timeout=10).json()

        assert is_answered("{ a: __typename }")
        assert not is_answered("{ a: __typename b: __typename }")
        file.write_text("GRAPHQL_MAX_ALIASES=2\n")
        process.send_signal(signal.SIGHUP)
        wait_until(lambda: is_answered("{ a: __typename b: __typename }"), process)
        assert not is_answered("{ a: __typename b: __typename c: __typename }")
