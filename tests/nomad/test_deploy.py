"""deploy.sh and the verdict it goes by. Nomad itself is played: its command by a script, its API by a server."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from nomad.verdict import Look, judge
from tests.nomad.hcl import JOBS, load_jobs, parse

ALL = load_jobs()
NOW = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
Json = dict[str, Any]


def job(**changes: Any) -> Json:
    return {
        "Type": "service",
        "Version": 7,
        "Stop": False,
        "Periodic": None,
        "Meta": {"release": "2.0"},
        "TaskGroups": [{"Name": "api", "Count": 2}],
    } | changes


def deployment(status: str = "successful", **changes: Any) -> Json:
    word = {"successful": "Deployment completed successfully", "running": "Deployment is running"}
    return {
        "JobVersion": 7,
        "Status": status,
        "StatusDescription": word.get(status, "Failed due to unhealthy allocations"),
        "TaskGroups": {"api": {"DesiredTotal": 2}},
    } | changes


def allocation(
    version: int = 7, client: str = "running", *, healthy: bool | None = True, started: str = "11:59:50", **changes: Any
) -> Json:
    events = [{"Time": 2, "DisplayMessage": "Exit Code: 2"}, {"Time": 1}]
    return {
        "ID": "3ab6b0b1-0000-0000-0000-000000000000",
        "JobVersion": version,
        "DesiredStatus": "run",
        "ClientStatus": client,
        "DeploymentStatus": None if healthy is None else {"Healthy": healthy},
        "TaskStates": {"app": {"StartedAt": f"2026-06-01T{started}.123456789Z", "Events": events}},
    } | changes


TWO = [allocation(), allocation()]
BROKEN = allocation(client="failed", DesiredStatus="stop")


@pytest.mark.parametrize(
    ("the_job", "the_deployment", "allocations", "good", "reason"),
    [
        (job(), deployment(), TWO, True, "2 of 2 healthy"),
        (job(Meta={"release": "1.9"}), deployment(), TWO, False, "release 1.9 is back in its place"),
        (job(Meta=None), deployment(), TWO, False, "release unknown"),
        (job(Stop=True), deployment(), TWO, False, "stopped"),
        (job(), deployment("failed"), [allocation(healthy=False)], False, "allocation 3ab6b0b1: app: Exit Code: 2"),
        (job(), deployment("cancelled"), TWO, False, "Failed due to"),
        (job(), None, [], None, "no deployment yet"),
        (job(), deployment(JobVersion=6), [*TWO, allocation(version=6)], None, "no deployment yet"),
        (job(), None, [allocation(), allocation(healthy=None)], True, "2 of 2 run"),  # Nomad has forgotten it
        (job(), None, [allocation(), allocation(healthy=False)], None, "1 of 2 run"),
        (job(), None, [allocation(), allocation(started="11:59:55")], None, "1 of 2 run"),
        (job(Version=8), deployment(JobVersion=8), [allocation(8), BROKEN], False, "replaced by version 8: allocation"),
        (job(), deployment("running"), [allocation(), allocation(healthy=None)], None, "1 of 2 healthy"),
        (job(), deployment("paused"), TWO, None, "2 of 2 healthy"),
        (job(), deployment(), [allocation(), allocation(client="failed")], None, "1 of 2 healthy"),
        (job(), deployment(), [*TWO, allocation(version=6)], None, "1 old ones still run"),
        (job(), deployment(), [*TWO, allocation(version=6, DesiredStatus="stop")], True, "2 of 2"),
        (job(Type="system"), None, TWO, True, "runs on 2 nodes"),
        (job(Type="system"), None, [], None, "runs on 0 nodes"),
        (job(Type="system"), None, [*TWO, allocation(version=6)], None, "1 have the old"),
        (job(Type="system"), None, [allocation(client="failed")], False, "Exit Code: 2"),
        (job(Type="system"), None, [allocation(healthy=False)], False, "Exit Code: 2"),
        (job(Type="system"), None, [allocation(healthy=None, started="11:59:52")], None, "runs on 0 nodes"),
        (job(Type="batch"), None, [allocation(client="complete")] * 2, True, "has run to its end"),
        (job(Type="batch"), None, [allocation(version=6, client="complete")] * 2, None, "not placed yet"),
        (job(Type="batch"), None, [allocation(client="complete"), allocation()], None, "is running"),
        (job(Type="batch"), None, [allocation(client="failed")], False, "Exit Code: 2"),
        (job(Type="batch", Periodic={"Spec": "17 3 * * *"}), None, [], True, "schedule"),
    ],
)
def test_the_verdict(
    the_job: Json, the_deployment: Json | None, allocations: list[Json], good: bool | None, reason: str
) -> None:
    verdict = judge(Look(the_job, the_deployment, allocations), "2.0", 7, NOW)
    assert verdict.good is good, verdict
    assert reason in verdict.reason


def healthy(names: list[str], release: str) -> Json:
    """What Nomad's API says when all of them run well."""
    answers: Json = {}
    for name in names:
        kind = ALL[name].type
        client = "complete" if kind == "batch" else "running"
        periodic = {"Spec": "x"} if "periodic" in ALL[name].body else None
        answers[f"/v1/job/{name}"] = job(Type=kind, Periodic=periodic, Meta={"release": release})
        answers[f"/v1/job/{name}/deployment"] = deployment() if kind == "service" else None
        answers[f"/v1/job/{name}/allocations"] = [allocation(client=client)] * 2
    return answers


PLAYED = """#!/bin/bash
echo "$*" >>"$SAID"
for last; do :; done
for option; do
    case $option in -var-file=*) cp "${option#*=}" "$(dirname "$SAID")/$(basename "$last").vars" ;; esac
done
case "$2 $last" in
"$REFUSED") echo "made-up refusal" >&2; exit 255 ;;
plan*) echo "Job Modify Index: 41"; [[ $last == *redis* ]] ;; # 1: something starts or stops
esac
"""


@pytest.fixture
def played(tmp_path: Path, nomad_api: tuple[str, Json]) -> dict[str, str]:
    """An environment in which the command `nomad` notes what it is asked; redis would change in place at most."""
    program = tmp_path / "bin" / "nomad"
    program.parent.mkdir()
    program.write_text(PLAYED)
    program.chmod(0o755)
    return {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "SAID": str(tmp_path / "said"),
        "NOMAD_ADDR": nomad_api[0],
        "REFUSED": "",
    }


def deploy(env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [str(JOBS / "deploy.sh"), *arguments]
    return subprocess.run(command, env=dict(env), capture_output=True, text=True, timeout=60, check=False)


def said(env: Mapping[str, str], verb: str) -> list[str]:
    lines = Path(env["SAID"]).read_text().splitlines()
    return [line for line in lines if line.startswith(f"job {verb} ")]


def test_all_jobs_are_deployed_in_their_order(played: dict[str, str], nomad_api: tuple[str, Json]) -> None:
    nomad_api[1].update(healthy(sorted(ALL), "2.0"))
    result = deploy(played, "-v", "artifacts=http://files", "prod", "2.0")
    assert result.returncode == 0, result.stderr
    assert "release 2.0 runs in prod" in result.stdout
    ran = [re.sub(r".*/(\w+)\.nomad\.hcl", r"\1", line) for line in said(played, "run")]
    services = ["payments", "catalog", "identity", "ordering", "notifications", "gateway"]
    assert ran == [
        "postgres",
        "redis",
        "rabbitmq",
        "dashboard",
        "migrate",
        *services,
        "ingress",
        "backup",
    ]
    assert all("-check-index=41" in line for line in said(played, "run"))
    lines = Path(played["SAID"]).read_text().splitlines()
    assert all(line.startswith("job validate") for line in lines[: len(ran)])  # all, before the first is touched


def test_each_job_gets_the_variables_that_it_declares(
    played: dict[str, str], nomad_api: tuple[str, Json], tmp_path: Path
) -> None:
    nomad_api[1].update(healthy(sorted(ALL), "2.0"))
    sums = tmp_path / "SHA256SUMS"
    sums.write_text("aa  ordering-2.0.pex\nbb  gateway-2.0.pex\ncc  gateway-12.0.pex\ndd  gateway-1.9.pex\n")
    environ = played | {"NOMAD_NAMESPACE": "shop"}
    assert deploy(environ, "-s", str(sums), "-v", "artifacts=http://files", "dev", "2.0").returncode == 0
    given = parse((JOBS / "vars/dev.hcl").read_text())
    wanted = {
        "artifacts": "http://files",
        "checksums": '{ordering="aa",gateway="bb"}',
        "release": "2.0",
        "namespace": "shop",
    }
    for line in said(played, "run"):
        name = re.sub(r".*/(\w+)\.nomad\.hcl", r"\1", line)
        declared = set(ALL[name].variables)
        from_file = parse((Path(played["SAID"]).parent / f"{name}.nomad.hcl.vars").read_text())
        assert from_file == {key: value for key, value in given.items() if key in declared}
        by_hand = dict(re.findall(r"-var (\w+)=(\S+)", line))
        assert ("run" in by_hand) == (name == "migrate")  # which runs each time
        if by_hand.pop("run", None):
            assert line.replace("job run -detach -preserve-counts -check-index=41", "job plan") in said(played, "plan")
        assert by_hand == {key: value for key, value in wanted.items() if key in declared}


def test_a_release_that_was_not_built_is_told(played: dict[str, str], tmp_path: Path) -> None:
    refused = played | {"REFUSED": f"validate {JOBS / 'gateway.nomad.hcl'}"}
    result = deploy(refused, "-s", str(tmp_path / "none"), "prod", "2.0", "gateway")
    assert result.returncode == 1
    assert "names no file of release 2.0: make dist RELEASE=2.0" in result.stderr
    assert "gateway is not valid: made-up refusal" in result.stderr


def test_a_rollback_stops_the_deployment(played: dict[str, str], nomad_api: tuple[str, Json]) -> None:
    nomad_api[1].update(healthy(sorted(ALL), "2.0"))
    nomad_api[1]["/v1/job/catalog"]["Meta"] = {"release": "1.9"}
    result = deploy(played, "prod", "2.0")
    assert result.returncode == 1
    assert "catalog: release 1.9 is back in its place" in result.stderr
    assert "stopped at catalog" in result.stderr
    assert not [line for line in said(played, "run") if "identity" in line]


@pytest.mark.parametrize(
    ("verb", "word"), [("validate", "is not valid"), ("plan", "cannot be planned"), ("run", "was refused")]
)
def test_a_refusal_is_told(played: dict[str, str], nomad_api: tuple[str, Json], verb: str, word: str) -> None:
    nomad_api[1].update(healthy(sorted(ALL), "2.0"))
    result = deploy(played | {"REFUSED": f"{verb} {JOBS / 'catalog.nomad.hcl'}"}, "prod", "2.0", "catalog", "gateway")
    assert result.returncode == 1
    assert f"catalog {word}: made-up refusal" in result.stderr
    assert not [line for line in said(played, "run") if "gateway" in line]


@pytest.mark.parametrize(
    ("arguments", "code", "word"),
    [
        ([], 2, "usage: "),
        (["prod"], 2, "usage: "),
        (["-x", "prod", "1"], 2, "usage: "),
        (["staging", "1"], 1, "there is no environment staging"),
        (["prod", "1", "shop"], 1, "there is no job shop"),
    ],
)
def test_a_wrong_call_is_told(played: dict[str, str], arguments: list[str], code: int, word: str) -> None:
    result = deploy(played, *arguments)
    assert (result.returncode, word in result.stderr) == (code, True), result.stderr


def test_the_verdict_ends_by_itself(nomad_api: tuple[str, Json]) -> None:
    nomad_api[1].update(healthy(["gateway"], "2.0"))
    nomad_api[1]["/v1/job/gateway/deployment"]["Status"] = "running"
    refused = {"api": {"ConstraintFiltered": {"missing drivers": 1}, "DimensionExhausted": {"memory": 2}}}
    nomad_api[1]["/v1/job/gateway/evaluations"] = [
        {"ModifyIndex": 8, "FailedTGAllocs": refused},
        {"ModifyIndex": 7, "FailedTGAllocs": {"api": {}}},
        {"ModifyIndex": 9, "FailedTGAllocs": None},
    ]
    command = ["python3", str(JOBS / "verdict.py"), "gateway", "--release", "2.0", "--timeout", "0"]
    env = {"PATH": os.environ["PATH"], "NOMAD_ADDR": nomad_api[0]}
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 1
    assert "did not settle within 0 s: 2 of 2 healthy" in result.stderr
    assert "; no node fits: memory, missing drivers" in result.stderr
    del nomad_api[1]["/v1/job/gateway/evaluations"]
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert "2 of 2 healthy; Deployment completed successfully\n" in result.stderr
    nomad_api[1].clear()
    result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=30, check=False)
    assert (result.returncode, "Nomad says 404" in result.stderr) == (1, True)
