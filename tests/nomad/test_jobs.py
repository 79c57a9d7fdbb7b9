"""Every job holds to the rules, and each rule notices a job that does not."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from dataclasses import fields
from pathlib import Path

import pytest

from services.apphost.parts import Part
from services.apphost.site import Ports, Secrets, Site
from services.apphost.topology import environments, services
from services.defaults.settings import describe
from tests.nomad.hcl import JOBS, ROOT, Job, Task, load_jobs, parse
from tests.nomad.rules import (
    PROCESS_KEYS,
    RULES,
    SERVERS,
    SERVICES,
    Rule,
    finds_by_itself,
    has_no_rights_to_spare,
    has_time_to_settle,
    is_checked,
    is_tuned_without_a_restart,
    keeps_secrets,
    knows_its_settings,
    leaves_softly,
    recovers,
    rolls_back,
    runs,
    runs_by_every_driver,
    runs_what_was_built,
    says_its_release,
    scales,
    settings_of,
    stays_small,
    stays_with_its_data,
)

ALL = load_jobs()
SITE = Site(
    state=Path("/nowhere"),
    ports=Ports(),
    secrets=Secrets(**{field.name: "x" for field in fields(Secrets)}),
    consul_program="/bin/true",
)
ON_ONE_MACHINE = {"APPHOST_SOCKET"}  # by which the app host takes orders; Nomad has an API of its own
LIVENESS_RESTART = 'check_restart {\n          limit = 3\n          grace = "60s"\n        }'

BROKEN: list[tuple[Rule, str, str, str]] = [
    (runs_by_every_driver, "gateway", 'local.native ? null : "${var.images}/gateway:${var.release}"', '"gateway"'),
    (runs_by_every_driver, "gateway", '["raw_exec", "exec", "docker"], var.driver', '["raw_exec"], var.driver'),
    (runs_by_every_driver, "redis", "driver       = var.driver", 'driver       = "docker"'),
    (runs_what_was_built, "gateway", '"local/gateway.pex", "serve"', '"-m", "services.gateway"'),
    (runs_what_was_built, "gateway", "gateway:${var.release}", "gateway:latest"),
    (runs_what_was_built, "gateway", "local.native ? var.python : null", "var.python"),
    (runs_what_was_built, "migrate", 'local.native ? ["identity"] : []', '["identity"]'),
    (runs_what_was_built, "migrate", "${artifact.value}-${var.release}.pex", "${artifact.value}.pex"),
    (runs_what_was_built, "seed", 'checksum = "sha256:${var.checksums[artifact.value]}"', ""),
    (runs_what_was_built, "ordering", "${NOMAD_TASK_DIR}/pex", "/tmp/pex"),
    (runs_what_was_built, "ordering", "= local.unpacked", '= "/tmp/pex"'),
    (has_no_rights_to_spare, "ordering", '      user         = local.native ? "nobody" : ""\n', ""),
    (has_no_rights_to_spare, "redis", 'user         = "redis"', 'user         = "root"'),
    (has_no_rights_to_spare, "migrate", '["ALL"]', "[]"),
    (has_no_rights_to_spare, "ordering", "readonly_rootfs = local.native ? null : true\n", ""),
    (leaves_softly, "gateway", 'shutdown_delay = "5s"', 'shutdown_delay = "0s"'),
    (leaves_softly, "ingress", '    shutdown_delay = "5s"\n', ""),
    (leaves_softly, "ordering", 'kill_signal  = "SIGTERM"', 'kill_signal  = "SIGINT"'),
    (leaves_softly, "ordering", 'kill_timeout = "45s"', 'kill_timeout = "27s"'),
    (leaves_softly, "ordering", 'GRACE_S          = "20"', 'GRACE_S          = "200"'),
    (rolls_back, "catalog", "auto_revert       = true", "auto_revert       = false"),
    (rolls_back, "catalog", "canary            = 1", "canary            = 0"),
    (rolls_back, "catalog", "auto_promote      = true", "auto_promote      = false"),
    (rolls_back, "catalog", 'health_check      = "checks"', 'health_check      = "task_states"'),
    (has_time_to_settle, "identity", 'progress_deadline = "4m"', 'progress_deadline = "3m"'),
    (has_time_to_settle, "identity", 'min_healthy_time  = "10s"', 'min_healthy_time  = "4m"'),
    (is_checked, "identity", 'path                     = "/health"', 'path                     = "/alive"'),
    (is_checked, "identity", LIVENESS_RESTART, ""),
    (is_checked, "catalog", 'port     = "admin"', 'port     = "grpc"'),
    (is_checked, "catalog", 'type         = "grpc"', 'type         = "tcp"'),
    (is_checked, "postgres", 'interval = "10s"', f'{LIVENESS_RESTART}\ninterval = "10s"'),
    (keeps_secrets, "gateway", 'perms       = "0600"', 'perms       = "0644"'),
    (keeps_secrets, "gateway", "secrets/gateway.env", "local/gateway.env"),
    (keeps_secrets, "gateway", "PEX_ROOT           ", 'JWT_SECRET         = "hunter2"\n        PEX_ROOT           '),
    (keeps_secrets, "gateway", '{{ with key "ticketflow/secrets/jwt" }}', '{{ range ls "ticketflow/secrets/jwt" }}'),
    (finds_by_itself, "ordering", 'CONSUL_REGISTER  = "off"', 'CONSUL_REGISTER  = "on"'),
    (finds_by_itself, "ordering", 'range safeLs "ticketflow/config/ordering"', 'range service "catalog"'),
    (finds_by_itself, "ordering", "${NOMAD_ADDR_http}", "127.0.0.1:80"),
    (finds_by_itself, "ordering", ': "0.0.0.0"', ': "127.0.0.1"'),
    (finds_by_itself, "ordering", "${attr.unique.network.ip-address}", "127.0.0.1"),
    (finds_by_itself, "ordering", "CONSUL_HTTP_ADDR = local.consul", 'CONSUL_HTTP_ADDR = "http://127.0.0.1:8500"'),
    (stays_with_its_data, "postgres", 'type   = "host"', 'type   = "csi"'),
    (stays_with_its_data, "postgres", "canary            = 0", "canary            = 1"),
    (stays_with_its_data, "postgres", "unlimited      = true", "unlimited      = false"),
    (stays_with_its_data, "payments", "count          = 1", "count          = 2"),
    (knows_its_settings, "gateway", "PAGE_LIMIT ", "PAGES_LIMIT"),
    (knows_its_settings, "notifications", "MAIL_FROM={{", "SENDER={{"),
    (knows_its_settings, "migrate", "}}DATABASE_URL=postgres://identity", "}}DATABASE=postgres://identity"),
    (is_tuned_without_a_restart, "ordering", '    "RECHECK_S",\n', ""),
    (is_tuned_without_a_restart, "dashboard", '= "LOG_LEVEL"', '= "LOG_LEVEL,DASHBOARD_TOKEN"'),
    (is_tuned_without_a_restart, "ordering", "{{ if not (in $tunables .Key) }}", "{{ if .Key }}"),
    (is_tuned_without_a_restart, "ordering", "{{ if in $tunables .Key }}", "{{ if .Key }}"),
    (is_tuned_without_a_restart, "ordering", 'change_mode   = "signal"', 'change_mode   = "restart"'),
    (is_tuned_without_a_restart, "ordering", 'change_signal = "SIGHUP"', 'change_signal = "SIGUSR1"'),
    (is_tuned_without_a_restart, "ordering", "${NOMAD_TASK_DIR}/tunables.env", "local/tunables.env"),
    (stays_small, "gateway", "max_files", "files"),
    (stays_small, "gateway", "memory =", "swap ="),
    (recovers, "migrate", "    reschedule {", "    migrate {"),
    (recovers, "gateway", "    restart {", "    migrate {"),
    (scales, "gateway", "enabled = true", "enabled = false"),
    (scales, "gateway", 'spread { attribute = "${node.unique.id}" }', ""),
    (scales, "payments", "count          = 1", "count          = 3"),
    (says_its_release, "gateway", "    release = var.release", '    release = "1"'),
    (says_its_release, "gateway", "        release = var.release", '        release = "1"'),
]


def without_log_limit(text: str) -> str:
    return re.sub(r"      logs \{.*?\}\n", "", text, flags=re.DOTALL)


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.__name__)
@pytest.mark.parametrize("name", sorted(ALL))
def test_each_job_holds_to_the_rules(name: str, rule: Rule) -> None:
    assert list(rule(ALL[name])) == []


@pytest.mark.parametrize(
    ("rule", "name", "good", "bad"),
    [pytest.param(*case, id=f"{case[0].__name__}-{i}") for i, case in enumerate(BROKEN)],
)
def test_a_broken_job_is_noticed(rule: Rule, name: str, good: str, bad: str) -> None:
    text = without_log_limit(ALL[name].text) if good == "max_files" else ALL[name].text.replace(good, bad)
    assert text != ALL[name].text, "this case breaks nothing"
    assert list(rule(Job(text)))


def test_every_rule_has_been_broken() -> None:
    assert {rule for rule, *_ in BROKEN} == set(RULES)


def test_there_is_a_job_for_every_part() -> None:
    assert set(ALL) == {*SERVICES, *SERVERS, "ingress", "migrate", "seed", "backup"}
    assert {name: job.name for name, job in ALL.items()} == {name: name for name in ALL}


def app(name: str) -> Task:
    return ALL[name].groups[0].tasks["app"]


@pytest.fixture(scope="module")
def parts() -> dict[str, Part]:
    return {part.name: part for part in services(SITE, environments(SITE))}


def test_jobs_and_app_host_run_the_same_services(parts: dict[str, Part]) -> None:
    assert set(parts) == set(SERVICES)
    for name, part in parts.items():
        group = ALL[name].groups[0]
        assert group.service["name"] == name  # by which the others look for it
        assert runs(app(name)) == (name, "serve")
        ports = {"http": "main", "grpc": "main"}
        assert {ports.get(port, port) for port in group.ports} == set(part.ports)


def test_people_find_jobs_and_app_host_at_the_same_ports() -> None:
    known = {
        "ingress": {"ingress_port": Ports().gateway},
        "mailbox": {"mailbox_port": Ports().mailbox, "smtp_port": Ports().smtp},
        "dashboard": {
            "dashboard_port": Ports().dashboard,
            "otlp_port": Ports().otlp,
            "otlp_grpc_port": Ports().otlp_grpc,
        },
    }
    for name, ports in known.items():
        assert {port: ALL[name].variables[port]["default"] for port in ports} == ports


def test_jobs_and_keys_tell_each_service_what_the_app_host_tells_it() -> None:
    config = json.loads((ROOT / "consul/kv/dev.json").read_text())["config"]
    for name, told in environments(SITE).items():
        settings = settings_of(app(name))
        assert settings is not None
        known = {row.key for row in describe(settings)}
        assert set(told) & known <= app(name).given | set(config.get(name, {})) | ON_ONE_MACHINE


def test_no_service_learns_another_s_secrets() -> None:
    def readers(key: str) -> set[str]:
        return {name for name in SERVICES for template in app(name).templates if f'{key}"' in template.text}

    for name in ("catalog", "identity", "ordering"):
        assert readers(f"secrets/database/{name}") == {name}
    assert readers("secrets/jwt") == {"gateway", "identity", "ordering"}
    assert readers("secrets/service-token") == {"catalog", "ordering"}
    assert readers("secrets/dashboard-token") == set(SERVICES) - {"mailbox"}
    assert readers("secrets/payments-api-key") == {"payments", "ordering"}
    assert readers("secrets/database/postgres") == set()


def test_the_catalog_is_asked_for_by_the_name_that_it_serves() -> None:
    package = re.search(r"^package (\S+);", (ROOT / "protos/catalog.proto").read_text(), re.MULTILINE)
    assert package is not None
    assert ALL["catalog"].groups[0].checks["ready"]["grpc_service"] == f"{package[1]}.Catalog"


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_variable_files_name_variables_on_lines_of_their_own(environment: str) -> None:
    text = (JOBS / f"vars/{environment}.hcl").read_text()
    given = parse(text)
    declared = {variable for job in ALL.values() for variable in job.variables}
    assert set(given) <= declared
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    assert [line.split()[0] for line in lines] == list(given)


def test_production_is_strict() -> None:
    prod, dev = (parse((JOBS / f"vars/{name}.hcl").read_text()) for name in ("prod", "dev"))
    assert (prod["environment"], prod["limits"]) == ("production", "strict")
    assert (dev["environment"], dev["limits"]) == ("development", "open")
    assert prod["public_url"].startswith("https://")
    assert prod["trusted_proxies"]
    assert not {"0.0.0.0/0", "::/0"} & set(prod["trusted_proxies"])
    for name in sorted(SERVICES):
        limits = {key: value for key, value in app(name).env.items() if key.endswith("_LIMIT")}
        assert set(limits.values()) <= {"${local.limit}"}
        if limits:  # strict: the service's own default
            assert ALL[name].document["locals"][0]["limit"] == '${var.limits == "open" ? "1000000" : ""}'


def test_agents_allow_what_the_jobs_ask_for() -> None:
    for agent in ("dev", "client"):
        client = parse((JOBS / f"agent/{agent}.hcl").read_text())["client"][0]
        volumes = {label for block in client["host_volume"] for label in block}
        asked = {volume["source"] for job in ALL.values() for group in job.groups for volume in group.volumes.values()}
        assert volumes == asked
        longest = max(
            int(task.body["kill_timeout"].rstrip("s"))
            for job in ALL.values()
            for task in job.tasks
            if "kill_timeout" in task.body
        )
        assert int(client["max_kill_timeout"].rstrip("s")) >= longest
    beside = parse((JOBS / "overlays/consul-retry.hcl").read_text())
    assert beside["client"][0]["template"][0]["consul_retry"] == [{"attempts": 0}]
    server = parse((JOBS / "agent/server.hcl").read_text())
    assert server["acl"][0]["enabled"] is True


def test_process_keys_are_not_settings_by_accident() -> None:
    for name in SERVICES:
        settings = settings_of(app(name))
        assert settings is not None
        assert not PROCESS_KEYS & {row.key for row in describe(settings)}


@pytest.mark.skipif(shutil.which("nomad") is None, reason="there is no `nomad` on PATH to validate the jobs")
@pytest.mark.parametrize("driver", ["raw_exec", "exec", "docker"])
@pytest.mark.parametrize("name", sorted(ALL))
def test_nomad_takes_the_job(name: str, driver: str) -> None:
    sums = ",".join(f'{service}="{"0" * 64}"' for service in SERVICES)
    checksums = [f"-var=checksums={{{sums}}}"] if "checksums" in ALL[name].variables else []
    command = ["nomad", "job", "validate", f"-var=driver={driver}", *checksums, str(JOBS / f"{name}.nomad.hcl")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
