"""What every job must hold to. A rule takes a job and yields a sentence for each way in which it does not."""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Callable, Iterator
from typing import Any, Final

from services.defaults.settings import MigrationSettings, describe
from tests.nomad.hcl import Group, Job, Task, labelled, one, seconds

Rule = Callable[[Job], Iterator[str]]

SERVICES: Final = ("catalog", "dashboard", "gateway", "identity", "mailbox", "notifications", "ordering", "payments")
SERVERS: Final = ("postgres", "rabbitmq", "redis")
TUNED: Final = tuple(name for name in SERVICES if name != "mailbox")  # that one has no keys in Consul's KV
CALLERS: Final = ("dashboard", "gateway", "ordering")  # they look for others in Consul
ONE_PORT: Final = ("dashboard", "mailbox")  # two of them cannot stand side by side, so there is no canary
PROCESS_KEYS: Final = {"PEX_ROOT", "PYTHONUNBUFFERED"}  # for the release's file and the interpreter, not for us
BACKGROUND_S: Final = 5.0  # what run.py gives a server's background loops beyond the grace period
UNPACKED: Final = '${var.unpacked != "" ? var.unpacked : "${NOMAD_TASK_DIR}/pex"}'
NATIVE_ONLY: Final = '${local.native ? ["%s"] : []}'
ACCOUNTS: Final = {"postgres": "postgres", "redis": "redis", "rabbitmq": "rabbitmq", "backup": "postgres"}
OURS: Final = re.compile(r"""^\$\{local\.native \? \["local/(\w+)\.pex", "(\w+)"\] : \["\2"\]\}$""")
DRIVER_RULE: Final = '${contains(["raw_exec", "exec", "docker"], var.driver)}'
TUNING: Final = (  # of Consul's KV, the keys that a service reads while it runs, or the others
    '{{ $tunables := split "," "${local.tunables}" }}{{ range safeLs "ticketflow/config/%s" }}{{ if %s }}{{ .Key }}='
)
RUNTIME_CONSUL: Final = '${var.consul != "" ? var.consul : "http://${attr.unique.network.ip-address}:8500"}'


def runs(task: Task) -> tuple[str, str] | None:
    """Which service the task runs, and by which verb; None where it runs none of ours."""
    found = OURS.match(str(task.config.get("args")))
    return (found[1], found[2]) if found else None


def settings_of(task: Task) -> type[Any] | None:
    """The settings that the task's service reads; None where it runs none of ours."""
    found = runs(task)
    if found is None:
        return None
    if found[1] == "migrate":
        return MigrationSettings
    settings: type[Any] = importlib.import_module(f"services.{found[0]}.settings").Settings
    return settings


def secret_keys(settings: type[Any]) -> set[str]:
    return {field.name.upper() for field in dataclasses.fields(settings) if field.metadata["rule"].secret}


def serves(job: Job) -> bool:
    return job.type in ("service", "system")


def runs_by_every_driver(job: Job) -> Iterator[str]:
    validation = job.variables["driver"].get("validation", [{}])[0]
    if validation.get("condition") != DRIVER_RULE:
        yield "the variable driver takes other values than raw_exec, exec and docker"
    for task in job.tasks:
        if task.body["driver"] != "${var.driver}":
            yield f"{task.name}: the driver is fixed"
        for key in {"image", "ports", "network_mode"} & set(task.config):
            if "local.native ? null" not in str(task.config[key]):
                yield f"{task.name}: {key} is handed to drivers that do not know it"
        if "image" not in task.config:
            yield f"{task.name}: has no image for docker"


def runs_what_was_built(job: Job) -> Iterator[str]:
    """The release's own file, checked; or the release's own image."""
    for task in job.tasks:
        found = runs(task)
        if found is None:
            if job.name in (*SERVICES, "migrate", "seed"):
                yield f"{task.name}: runs something else than a service's file"
            continue
        service = found[0]
        if task.config["image"] != f'${{local.native ? null : "${{var.images}}/{service}:${{var.release}}"}}':
            yield f"{task.name}: the image is not the release's"
        if task.config.get("command") != "${local.native ? var.python : null}":
            yield f"{task.name}: the file is not started by the node's Python, or the image's own start is lost"
        artifact = one(labelled(task.body.get("dynamic")).get("artifact", {}).get("content"))
        if labelled(task.body.get("dynamic")).get("artifact", {}).get("for_each") != NATIVE_ONLY % service:
            yield f"{task.name}: does not fetch its service's file, or fetches it for docker too"
        if artifact.get("source") != "${var.artifacts}/${artifact.value}-${var.release}.pex":
            yield f"{task.name}: the file is not the release's"
        if one(artifact.get("options")).get("checksum") != "sha256:${var.checksums[artifact.value]}":
            yield f"{task.name}: runs whatever it is given (checksum)"
        if (task.env.get("PEX_ROOT"), one(job.document["locals"]).get("unpacked")) != ("${local.unpacked}", UNPACKED):
            yield f"{task.name}: unpacks itself where others may write"


def has_no_rights_to_spare(job: Job) -> Iterator[str]:
    for task in job.tasks:
        wanted = ACCOUNTS.get(job.name, '${local.native ? "nobody" : ""}')
        if task.body.get("user") != wanted:
            yield f"{task.name}: runs as {task.body.get('user', 'root')}"
        shut = (task.config.get("cap_drop"), task.config.get("readonly_rootfs"))
        if runs(task) and shut != ('${local.native ? null : ["ALL"]}', "${local.native ? null : true}"):
            yield f"{task.name}: may write in its image, or keeps capabilities (cap_drop, readonly_rootfs)"


def leaves_softly(job: Job) -> Iterator[str]:
    if serves(job) and any(seconds(group.body.get("shutdown_delay", "0s")) <= 0 for group in job.groups):
        yield "callers are not given time to look away (shutdown_delay)"
    for task in job.tasks if job.name in SERVICES else ():
        if task.body.get("kill_signal") != "SIGTERM":
            yield "the services drain at SIGTERM, and Nomad's default is another signal"
        drain_s, grace_s = (float(task.env.get(key, "nan")) for key in ("DRAIN_S", "GRACE_S"))
        # `not >` also where a number is missing
        if not seconds(task.body.get("kill_timeout", "5s")) > drain_s + grace_s + BACKGROUND_S:
            yield "kill_timeout cuts the drain short"


def rolls_back(job: Job) -> Iterator[str]:
    if job.name not in SERVICES:
        return
    if job.update.get("auto_revert") is not True:
        yield "a bad release stays (auto_revert)"
    if job.name not in ONE_PORT and (job.update.get("canary"), job.update.get("auto_promote")) != (1, True):
        yield "a release is not tried by a canary first, or waits for a person"
    if job.update.get("health_check") != "checks":
        yield "health is not what the checks say"


def has_time_to_settle(job: Job) -> Iterator[str]:
    if not job.update or job.type == "system":
        return
    shortest, middle, longest = (
        seconds(job.update[key]) for key in ("min_healthy_time", "healthy_deadline", "progress_deadline")
    )
    if not shortest < middle < longest:
        yield "min_healthy_time, healthy_deadline and progress_deadline must grow"


def is_checked(job: Job) -> Iterator[str]:
    if not serves(job):
        return
    for group in job.groups:
        wanted = {"ready"} if job.name in SERVERS else {"ready", "live"}
        if set(group.checks) != wanted:
            yield f"{group.name}: the checks are {sorted(group.checks)}, not {sorted(wanted)}"
        restarting = {name for name, check in group.checks.items() if "check_restart" in check}
        if restarting != wanted - {"ready"}:
            yield f"{group.name}: a process is restarted for {sorted(restarting)}"
        yield from _checks_of_ours(job, group)


def _checks_of_ours(job: Job, group: Group) -> Iterator[str]:
    if job.name not in SERVICES:
        return
    ready, live = group.checks.get("ready", {}), group.checks.get("live", {})
    if job.name == "catalog":
        if (ready.get("type"), live.get("port")) != ("grpc", "admin"):
            yield "the catalog is ready by gRPC, and alive at its admin port"
    elif (ready.get("type"), ready.get("path")) != ("http", "/health"):
        yield "readiness is /health"
    if (live.get("type"), live.get("path")) != ("http", "/alive"):
        yield "liveness is /alive"


def keeps_secrets(job: Job) -> Iterator[str]:
    for task in job.tasks:
        for template in task.templates:
            reads_secret = "ticketflow/secrets/" in template.text
            hidden = template.destination.startswith("secrets/") and template.perms == "0600"
            if reads_secret and not hidden:
                yield f"{task.name}: {template.destination} is open to others"
            if reads_secret and "range" in template.text:
                yield f"{task.name}: {template.destination} reads more secrets than it names"
        settings = settings_of(task)
        if settings:
            yield from (f"{task.name}: {key} is in the job itself" for key in secret_keys(settings) & set(task.env))


def finds_by_itself(job: Job) -> Iterator[str]:
    for task in job.tasks:
        if any(template.env and re.search(r"\bservices?\b \"", template.text) for template in task.templates):
            yield f"{task.name}: is restarted whenever a neighbour moves (a service range in the environment)"
    if job.name not in SERVICES:
        return
    for task in job.tasks:
        if task.env.get("CONSUL_REGISTER") != "off":
            yield "it registers itself, and Nomad registers it too"
        port = "grpc" if job.name == "catalog" else "http"
        if task.env.get("ADVERTISE") != f"${{NOMAD_ADDR_{port}}}":
            yield "it does not know its address (ADVERTISE)"
        if task.env.get("HOST") != f'${{local.native ? "${{NOMAD_IP_{port}}}" : "0.0.0.0"}}':
            yield "HOST does not fit each driver"
        told = (task.env.get("CONSUL_HTTP_ADDR"), one(job.document["locals"]).get("consul"))
        if told != (("${local.consul}", RUNTIME_CONSUL) if job.name in CALLERS else (None, None)):
            yield "who calls others, and nobody else, is told of Consul"


def stays_with_its_data(job: Job) -> Iterator[str]:
    for group in job.groups:
        if job.name in SERVERS and not group.volumes:
            yield "its data are not on a volume"
        if any(volume["type"] != "host" for volume in group.volumes.values()):
            yield "its volume is not on a node of its own"
        if group.volumes and serves(job) and group.body.get("count") != 1:
            yield "several writers share its volume"
        if job.name in SERVERS and job.update.get("canary") != 0:
            yield "a canary would be a second writer"
        if job.name in SERVERS and group.body["reschedule"][0].get("unlimited") is not True:
            yield "once Nomad has failed it, it stays away"


def knows_its_settings(job: Job) -> Iterator[str]:
    for task in job.tasks:
        settings = settings_of(task)
        if settings is None:
            continue
        rows = describe(settings)
        known = {row.key for row in rows} | PROCESS_KEYS
        required = {row.key for row in rows if row.default == "required"}
        yield from (f"{task.name}: {key} is no setting" for key in sorted(task.given - known))
        yield from (f"{task.name}: {key} is missing" for key in sorted(required - task.given))


def is_tuned_without_a_restart(job: Job) -> Iterator[str]:
    """What may change while the service runs comes in a file and by signal; the rest of its keys restarts it."""
    if job.name not in TUNED:
        return
    (task,) = job.tasks
    by_file = {template.destination: template for template in task.templates}
    settings = settings_of(task)
    tunable = {row.key for row in describe(settings) if row.tunable} if settings else set()
    if set(re.findall(r"[A-Z][A-Z0-9_]+", one(job.document["locals"])["tunables"])) != tunable:
        yield f"tunables are not the settings that can change, {sorted(tunable)}"
    if TUNING % (job.name, "not (in $tunables .Key)") not in by_file["local/config.env"].text:
        yield "a tunable restarts it"
    live = by_file["local/tunables.env"]
    if TUNING % (job.name, "in $tunables .Key") not in live.text:
        yield "the file holds what the service refuses to change"
    if (live.env, live.change_mode, live.change_signal) != (False, "signal", "SIGHUP"):
        yield "it is not told that a tunable has changed"
    if task.env.get("TUNABLES_FILE") != "${NOMAD_TASK_DIR}/tunables.env":
        yield "it does not know the file (TUNABLES_FILE)"


def stays_small(job: Job) -> Iterator[str]:
    for group in job.groups:
        for task in group.tasks.values():
            resources = task.body.get("resources", [{}])[0]
            if not {"cpu", "memory"} <= set(resources):
                yield f"{task.name}: takes what it likes (resources)"
            stays = serves(job) and "lifecycle" not in task.body
            if stays and "logs" not in task.body:
                yield f"{task.name}: its logs grow for ever"


def recovers(job: Job) -> Iterator[str]:
    for group in job.groups:
        if "restart" not in group.body:
            yield f"{group.name}: has no restart policy"
        if job.type != "system" and "reschedule" not in group.body:
            yield f"{group.name}: has no reschedule policy"


def scales(job: Job) -> Iterator[str]:
    if job.name not in SERVICES:
        return
    for group in job.groups:
        if "count" in job.variables:
            scaling = group.body.get("scaling", [{}])[0]
            if not (scaling.get("enabled") is True and 1 <= scaling.get("min", 0) < scaling.get("max", 0)):
                yield "it cannot be scaled (scaling)"
            if "spread" not in job.body:
                yield "its instances may share one node (spread)"
        elif group.body.get("count") != 1:
            yield "its count is neither a variable nor one"


def says_its_release(job: Job) -> Iterator[str]:
    if job.name not in (*SERVICES, "migrate", "seed"):
        return
    if job.body.get("meta", [{}])[0].get("release") != "${var.release}":
        yield "nobody can tell which release it is (meta)"
    for group in job.groups:
        if serves(job) and group.service.get("meta", [{}])[0].get("release") != "${var.release}":
            yield "Consul does not know which release it is (meta)"


RULES: Final[tuple[Rule, ...]] = (
    runs_by_every_driver,
    runs_what_was_built,
    has_no_rights_to_spare,
    leaves_softly,
    rolls_back,
    has_time_to_settle,
    is_checked,
    keeps_secrets,
    finds_by_itself,
    stays_with_its_data,
    knows_its_settings,
    is_tuned_without_a_restart,
    stays_small,
    recovers,
    scales,
    says_its_release,
)
