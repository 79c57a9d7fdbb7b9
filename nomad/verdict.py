"""Waits until a job's newest version has settled, and says whether it is the wanted release, running and healthy.

    python3 nomad/verdict.py JOB [--release RELEASE] [--timeout SECONDS]

`nomad job run` of older versions ends with 0 after a rollback, so its word is not enough. Exit 0: it runs.
Exit 1, with the reason on standard error: it was rolled back, failed, or did not settle in time.
Nomad is found by NOMAD_ADDR, NOMAD_TOKEN, NOMAD_NAMESPACE, NOMAD_REGION, NOMAD_CACERT, NOMAD_CLIENT_CERT and
NOMAD_CLIENT_KEY, as its own command does. Needs nothing but Python.
"""

from __future__ import annotations

import argparse
import json
import os
import ssl
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

POLL_S: Final = 2.0
STEADY_S: Final = 10.0  # what has run for so long has come up; a program that cannot bind its port ends sooner
CALL_TIMEOUT_S: Final = 10.0
FAILED_DEPLOYMENT: Final = frozenset({"failed", "cancelled"})
WHY_NOT_THERE: Final = ("ConstraintFiltered", "DimensionExhausted")
FAILED_ALLOCATION: Final = frozenset({"failed", "lost"})

Json = Mapping[str, Any]


@dataclass(frozen=True)
class Verdict:
    """`good` is None as long as the job has not settled; `reason` is a clause for people."""

    good: bool | None
    reason: str


@dataclass(frozen=True)
class Look:
    """What Nomad's API says of a job (/v1/job/ID and below); the deployment is the newest one."""

    job: Json
    deployment: Json | None
    allocations: Sequence[Json]


def judge(look: Look, release: str, version: int, now: datetime) -> Verdict:
    """How the version of the job stands that was the newest when it was sent, and must name the release, if any."""
    job, deployment = look.job, look.deployment
    current = [each for each in look.allocations if each["JobVersion"] == version]
    older = [each for each in look.allocations if each["JobVersion"] != version and _is_wanted(each)]
    if overtaken := _overtaken(look, release, version):
        return Verdict(False, overtaken)
    if job.get("Periodic"):
        return Verdict(True, "is on its schedule")
    if job["Type"] == "batch":
        return _judge_batch(job, current)
    if job["Type"] == "system":
        return _judge_system(current, older, now)
    if deployment is None or deployment["JobVersion"] != version:
        return _judge_undeployed(job, current, older, now)
    return _judge_service(deployment, current, older)


def _overtaken(look: Look, release: str, version: int) -> str:
    """Why the job is not what was sent any more; empty if it is."""
    runs = (look.job.get("Meta") or {}).get("release", "")
    if release and runs != release:
        return f"release {runs or 'unknown'} is back in its place: {_failure(look.deployment, look.allocations)}"
    if look.job["Version"] != version:  # a rollback makes a newer one, maybe of a release that has the same name
        sent = [each for each in look.allocations if each["JobVersion"] == version]
        return f"version {version} was replaced by version {look.job['Version']}: {_failure(None, sent)}"
    return "somebody stopped it" if look.job.get("Stop") else ""


def _judge_batch(job: Json, current: Sequence[Json]) -> Verdict:
    wanted = sum(group["Count"] for group in job["TaskGroups"])
    done = sum(each["ClientStatus"] == "complete" for each in current)
    if done >= wanted:
        return Verdict(True, "has run to its end")
    if any(_is_wanted(each) and each["ClientStatus"] in ("pending", "running") for each in current):
        return Verdict(None, "is running")
    if any(each["ClientStatus"] in FAILED_ALLOCATION for each in current):
        return Verdict(False, f"failed: {_failure(None, current)}")
    return Verdict(None, "is not placed yet")


def _judge_system(current: Sequence[Json], older: Sequence[Json], now: datetime) -> Verdict:
    wanted = [each for each in current if _is_wanted(each)]
    failed = [each for each in wanted if each["ClientStatus"] in FAILED_ALLOCATION or _is_unhealthy(each)]
    if failed:
        return Verdict(False, f"failed: {_failure(None, failed)}")
    running = sum(_is_steady(each, now) for each in wanted)
    if wanted and running == len(wanted) and not older:
        return Verdict(True, f"runs on {running} nodes")
    return Verdict(None, f"runs on {running} nodes, and {len(older)} have the old version")


def _judge_undeployed(job: Json, current: Sequence[Json], older: Sequence[Json], now: datetime) -> Verdict:
    """Nomad has not begun the version's deployment yet; or it forgot one that ended an hour ago, when none ran on."""
    wanted = sum(group["Count"] for group in job["TaskGroups"])
    running = sum(_is_steady(each, now) for each in current if each["DesiredStatus"] == "run")
    if running >= wanted and not older:
        return Verdict(True, f"{running} of {wanted} run")
    return Verdict(None, f"has no deployment yet, and {running} of {wanted} run")


def _judge_service(deployment: Json, current: Sequence[Json], older: Sequence[Json]) -> Verdict:
    if deployment["Status"] in FAILED_DEPLOYMENT:
        return Verdict(False, _failure(deployment, current))
    wanted = sum(group["DesiredTotal"] for group in deployment["TaskGroups"].values())
    healthy = sum(_is_healthy(each) for each in current)
    progress = f"{healthy} of {wanted} healthy"
    if deployment["Status"] != "successful":
        return Verdict(None, f"{progress}; {deployment['StatusDescription']}")
    if healthy < wanted or older:
        return Verdict(None, f"{progress}, {len(older)} old ones still run")
    return Verdict(True, progress)


def _is_wanted(allocation: Json) -> bool:
    return bool(allocation["DesiredStatus"] == "run" and allocation["ClientStatus"] != "complete")


def _is_unhealthy(allocation: Json) -> bool:
    return (allocation.get("DeploymentStatus") or {}).get("Healthy") is False


def _is_steady(allocation: Json, now: datetime) -> bool:
    """Where no deployment judges: it runs, and its tasks have done so for a while."""
    if allocation["ClientStatus"] != "running" or _is_unhealthy(allocation):
        return False
    states = (allocation.get("TaskStates") or {}).values()
    return all((now - _time(state["StartedAt"])).total_seconds() >= STEADY_S for state in states)


def _time(told: str) -> datetime:
    """Of Nomad's RFC 3339 in UTC, to the second: it gives more digits than every Python reads."""
    return datetime.strptime(told[:19], "%Y-%m-%dT%H:%M:%S").replace(tzinfo=UTC)


def _is_healthy(allocation: Json) -> bool:
    judged = (allocation.get("DeploymentStatus") or {}).get("Healthy") is True
    return judged and allocation["DesiredStatus"] == "run" and allocation["ClientStatus"] == "running"


def _failure(deployment: Json | None, allocations: Sequence[Json]) -> str:
    """The deployment's own word, and what happened last to an allocation that did badly."""
    words = [deployment["StatusDescription"]] if deployment and deployment.get("StatusDescription") else []
    for each in sorted(allocations, key=lambda allocation: -int(allocation.get("ModifyIndex", 0))):
        if each["ClientStatus"] in FAILED_ALLOCATION or _is_unhealthy(each):
            words.append(f"allocation {each['ID'][:8]}: {_last_event(each)}")
            break
    return "; ".join(words) or "Nomad does not say why"


def _last_event(allocation: Json) -> str:
    events = [
        (event.get("Time", 0), f"{task}: {event.get('DisplayMessage') or event.get('Type', '')}")
        for task, state in (allocation.get("TaskStates") or {}).items()
        for event in state.get("Events") or []
    ]
    return max(events)[1] if events else allocation.get("ClientDescription") or "no event"


def obstacles(evaluations: Sequence[Json]) -> str:
    """Why Nomad could not place what it wants to, by the newest evaluation that says; empty if none does."""
    for each in sorted(evaluations, key=lambda evaluation: -int(evaluation["ModifyIndex"])):
        metrics = list((each.get("FailedTGAllocs") or {}).values())
        words = {word for metric in metrics for kind in WHY_NOT_THERE for word in metric.get(kind) or {}}
        if metrics:
            return f"no node fits: {', '.join(sorted(words)) or 'there is none'}"
    return ""


class Nomad:
    """The questions to Nomad's HTTP API. Raises `OSError` where it does not answer."""

    def __init__(self, env: Mapping[str, str]) -> None:
        self._address = env.get("NOMAD_ADDR", "http://127.0.0.1:4646").rstrip("/")
        names = {"namespace": env.get("NOMAD_NAMESPACE", ""), "region": env.get("NOMAD_REGION", "")}
        self._query = urlencode({key: value for key, value in names.items() if value})
        self._token = env.get("NOMAD_TOKEN", "")
        self._tls = _tls(env) if self._address.startswith("https:") else None

    def look(self, name: str) -> Look:
        path = f"/v1/job/{quote(name, safe='')}"
        return Look(self._get(path), self._get(f"{path}/deployment"), self._get(f"{path}/allocations"))

    def obstacles(self, name: str) -> str:
        return obstacles(self._get(f"/v1/job/{quote(name, safe='')}/evaluations"))

    def _get(self, path: str) -> Any:
        request = urllib.request.Request(  # noqa: S310  # the operator's own address
            f"{self._address}{path}?{self._query}", headers={"X-Nomad-Token": self._token} if self._token else {}
        )
        with urllib.request.urlopen(request, timeout=CALL_TIMEOUT_S, context=self._tls) as answer:  # noqa: S310  # as above
            return json.load(answer)


def _tls(env: Mapping[str, str]) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=env.get("NOMAD_CACERT") or None)
    if env.get("NOMAD_CLIENT_CERT"):
        context.load_cert_chain(env["NOMAD_CLIENT_CERT"], env.get("NOMAD_CLIENT_KEY"))
    return context


def wait(nomad: Nomad, name: str, release: str, timeout_s: float) -> Verdict:
    """The verdict once it is one way or the other, or why there is none after `timeout_s`."""
    deadline, version = time.monotonic() + timeout_s, None
    while True:
        try:
            look = nomad.look(name)
            version = look.job["Version"] if version is None else version
            verdict = judge(look, release, version, datetime.now(UTC))
        except urllib.error.HTTPError as error:
            if error.code < 500:  # forbidden, unknown: waiting does not help
                return Verdict(False, f"Nomad says {error.code} {error.reason}")
            verdict = Verdict(None, f"Nomad says {error.code}")
        except OSError as error:  # a leader election passes
            verdict = Verdict(None, f"Nomad does not answer: {error}")
        if verdict.good is not None:
            return verdict
        if time.monotonic() >= deadline:
            return Verdict(False, f"did not settle within {timeout_s:g} s: {_with_obstacles(nomad, name, verdict)}")
        time.sleep(POLL_S)


def _with_obstacles(nomad: Nomad, name: str, verdict: Verdict) -> str:
    try:
        return "; ".join(filter(None, (verdict.reason, nomad.obstacles(name))))
    except OSError:  # the verdict says that Nomad does not answer
        return verdict.reason


def main() -> int:
    parser = argparse.ArgumentParser(description="Waits for a Nomad job, and says whether the release runs.")
    parser.add_argument("job")
    parser.add_argument("--release", default="", help="the `release` that the job's meta must name")
    parser.add_argument("--timeout", type=float, default=900.0, help="seconds (900)")
    arguments = parser.parse_args()
    verdict = wait(Nomad(os.environ), arguments.job, arguments.release, arguments.timeout)
    stream = sys.stdout if verdict.good else sys.stderr
    stream.write(f"deploy: {arguments.job}: {verdict.reason}\n")
    return 0 if verdict.good else 1


if __name__ == "__main__":
    sys.exit(main())
