"""Adds to a job what only newer Nomads know, so that one job file serves all of them.

    nomad job run -output … nomad/ordering.nomad.hcl | python3 nomad/overlays/overlay.py disconnect variables |
        nomad job run -json -

    identity     Nomad 1.7: templates read Consul with a token of the job's own, not with that of the node's agent;
                 for jobs that consul/policies has a file for, on servers with workload-identity.hcl
    variables    Nomad 1.4: secrets come from the Nomad variable nomad/jobs/<job>, not from Consul's KV
    disconnect   Nomad 1.8: a node that is out of sight for a while keeps its allocations

Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable
from typing import Any, Final

HOUR_NS: Final = 3_600_000_000_000
SECRET: Final = re.compile(r'\{\{ with key "ticketflow/secrets/(?P<name>[^"]+)" \}\}(?P<text>.*?)\{\{ end \}\}')

Json = dict[str, Any]


def identity(job: Json) -> None:
    for group in job["TaskGroups"]:
        group["Consul"] = {"Cluster": "default"}


def variables(job: Json) -> None:
    for group in job["TaskGroups"]:
        for task in group["Tasks"]:
            for template in task.get("Templates") or []:
                template["EmbeddedTmpl"] = from_variable(template["EmbeddedTmpl"] or "", job["ID"])


def from_variable(text: str, job: str) -> str:
    """The template, with each secret from the job's variable, whose items are named as Terraform names them."""

    def rewritten(found: re.Match[str]) -> str:
        item = re.sub(r"[^a-z]", "_", found["name"])
        body = found["text"].replace("{{ . }}", f"{{{{ .{item} }}}}")
        return f'{{{{ with nomadVar "nomad/jobs/{job}" }}}}{body}{{{{ end }}}}'

    return SECRET.sub(rewritten, text)


def disconnect(job: Json) -> None:
    """A replacement at once, unless the group has a disk: there would be two writers."""
    for group in job["TaskGroups"] if job["Type"] == "service" else ():
        if group.get("Volumes"):
            group["Disconnect"] = {"LostAfter": 6 * HOUR_NS, "Replace": False}
        else:
            group["Disconnect"] = {"LostAfter": HOUR_NS, "Replace": True, "Reconcile": "best_score"}


OVERLAYS: Final[dict[str, Callable[[Json], None]]] = {
    "identity": identity,
    "variables": variables,
    "disconnect": disconnect,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Adds overlays to a job: JSON in, JSON out.")
    parser.add_argument("overlays", nargs="+", choices=OVERLAYS, metavar="|".join(OVERLAYS))
    document = json.load(sys.stdin)
    for name in parser.parse_args().overlays:
        OVERLAYS[name](document["Job"])
    json.dump(document, sys.stdout, indent=4)
    return 0


if __name__ == "__main__":
    sys.exit(main())
