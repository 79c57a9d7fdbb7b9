"""What is added to jobs for newer Nomads: the same jobs, and nothing lost on the way."""

from __future__ import annotations

import copy
import json
import re
import subprocess
import sys
from typing import Any

import pytest

from nomad.overlays.overlay import OVERLAYS, from_variable
from tests.nomad.hcl import JOBS, ROOT, load_jobs, one, parse
from tests.nomad.test_consul_files import STORED

ALL = load_jobs()
OVERLAY = JOBS / "overlays"
VOLUMES = {path.name.removesuffix(".volume.hcl"): parse(path.read_text()) for path in OVERLAY.glob("volumes/*.hcl")}
SECRET_KEY = re.compile(r'\bkey "ticketflow/secrets/')
VARIABLE = re.compile(r'nomadVar "nomad/jobs/([\w-]+)" \}\}(.*?)\{\{ end \}\}')


def job(kind: str = "service", **group: Any) -> dict[str, Any]:
    """A job as `nomad job run -output` shows it, as far as the overlays look at it."""
    template = {"EmbeddedTmpl": '{{ with key "ticketflow/secrets/database/catalog" }}URL=pg://c:{{ . }}@h{{ end }}'}
    return {"ID": "catalog", "Type": kind, "TaskGroups": [group | {"Tasks": [{"Templates": [template]}, {}]}]}


def overlaid(name: str, before: dict[str, Any]) -> dict[str, Any]:
    after = copy.deepcopy(before)
    OVERLAYS[name](after)
    return after


def test_a_secret_comes_from_the_job_s_own_variable() -> None:
    (group,) = overlaid("variables", job())["TaskGroups"]
    told = '{{ with nomadVar "nomad/jobs/catalog" }}URL=pg://c:{{ .database_catalog }}@h{{ end }}'
    assert group["Tasks"][0]["Templates"][0]["EmbeddedTmpl"] == told


@pytest.mark.parametrize("name", sorted(ALL))
def test_every_secret_that_a_job_needs_is_in_its_variable(name: str) -> None:
    readers = one(parse((ROOT / "terraform/modules/nomad/main.tf").read_text())["locals"])["readers"]
    there = {re.sub("[^a-z]", "_", secret) for secret in readers.get(name, [])}
    for task in ALL[name].tasks:
        for template in task.templates:
            text = from_variable(template.text, name)
            assert not SECRET_KEY.search(text)
            assert text.count("{{ end }}") == template.text.count("{{ end }}")
            for owner, body in VARIABLE.findall(text):
                assert owner == name
                assert set(re.findall(r"\{\{ \.(\w+) \}\}", body)) <= there
                assert "{{ . }}" not in body


def test_a_node_out_of_sight_keeps_its_allocations_and_a_disk_its_one_writer() -> None:
    (free,) = overlaid("disconnect", job())["TaskGroups"]
    (bound,) = overlaid("disconnect", job(Volumes={"data": {}}))["TaskGroups"]
    assert (free["Disconnect"]["Replace"], bound["Disconnect"]["Replace"]) == (True, False)
    for kind in ("batch", "system"):
        assert overlaid("disconnect", job(kind)) == job(kind)


def test_templates_are_rendered_by_the_job_s_own_identity() -> None:
    (group,) = overlaid("identity", job())["TaskGroups"]
    assert group["Consul"] == {"Cluster": "default"}
    agent = parse((OVERLAY / "workload-identity.hcl").read_text())["consul"][0]
    method = json.loads((OVERLAY / "auth-method.json").read_text())
    server = parse((ROOT / "nomad/agent/server.hcl").read_text())
    assert method["JWKSURL"].startswith("https://" if server["tls"][0]["http"] else "http://")
    for kind in ("service_identity", "task_identity"):
        assert agent[kind][0]["aud"] == method["BoundAudiences"]
    assert {"nomad_service", "nomad_job_id"} <= set(method["ClaimMappings"].values())
    roles = re.search(r"^for service in (.*); do$", (ROOT / "docs/operations.md").read_text(), re.MULTILINE)
    assert roles is not None
    assert set(roles[1].split()) == set(STORED)


def test_the_command_line_takes_several_and_refuses_what_it_does_not_know() -> None:
    command = [sys.executable, str(OVERLAY / "overlay.py")]
    given = json.dumps({"Job": job()})
    result = subprocess.run(
        [*command, "variables", "disconnect"], input=given, capture_output=True, text=True, check=True
    )
    assert json.loads(result.stdout)["Job"] == overlaid("disconnect", overlaid("variables", job()))
    assert subprocess.run([*command, "other"], input=given, capture_output=True, text=True, check=False).returncode == 2


def test_there_is_a_volume_for_every_disk() -> None:
    asked = {volume["source"] for job in ALL.values() for group in job.groups for volume in group.volumes.values()}
    assert {volume["name"] for volume in VOLUMES.values()} == asked
    for name, volume in VOLUMES.items():
        assert volume["name"] == f"ticketflow-{name}"
        assert (volume["type"], volume["plugin_id"]) == ("host", "mkdir")
        assert one(volume["capability"])["access_mode"] == "single-node-writer"
        assert one(volume["constraint"])["value"] == name
