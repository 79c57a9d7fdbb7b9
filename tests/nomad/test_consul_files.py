"""Consul's policies, keys and scripts: each service may read what its job reads, and nothing else."""

from __future__ import annotations

import json
import os
import re
import ssl
import subprocess
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import pytest

from services.apphost.servers.consul import find_consul
from services.defaults.settings import CommonSettings, describe, load
from tests.nomad.conftest import playing
from tests.nomad.hcl import ROOT, labelled, load_jobs, parse
from tests.nomad.rules import CALLERS, SERVICES, secret_keys, settings_of

CONSUL = ROOT / "consul"
ALL = load_jobs()
APPS = {name: ALL[name].groups[0].tasks["app"] for name in SERVICES}
STORED = sorted(set(SERVICES) - {"mailbox"})  # the mailbox is for development, and reads nothing
NO_TUNABLES = {  # where others are, and what an installation has or lacks
    "CATALOG_ADDR",
    "IDENTITY_ADDR",
    "ORDERING_ADDR",
    "PAYMENTS_ADDR",
    "JWT_AUDIENCE",
    "SMTP_TLS",
    "SMTP_USERNAME",
    "MAILBOX_URL",
    "SHOP_URL",
    "APPHOST_SOCKET",
    "CRASH_AT",  # for tests
}
TELEMETRY = {
    "OTEL_EXPORTER_OTLP_ENDPOINT",
    "OTEL_TRACES_SAMPLER",
    "OTEL_TRACES_SAMPLER_ARG",
    "OTEL_METRIC_EXPORT_INTERVAL",
}
# By name; the dashboard shows everybody.
CALLS = {"gateway": {"catalog", "identity", "ordering"}, "ordering": {"catalog", "payments"}, "dashboard": set[str]()}
GONE, ALIVE = "00000000-0000-0000-0000-00000000dead", "00000000-0000-0000-0000-000000000001"


def read_keys(name: str) -> set[str]:
    texts = "".join(template.text for template in APPS[name].templates)
    return set(re.findall(r'(?:with key|key|keyOrDefault) "(ticketflow/(?:secrets|servers)/[^"]+)"', texts))


@pytest.mark.parametrize("name", STORED)
def test_a_policy_allows_what_the_job_reads_and_no_more(name: str) -> None:
    policy = parse((CONSUL / f"policies/{name}.hcl").read_text())
    assert set(labelled(policy.get("key"))) == read_keys(name)
    assert set(labelled(policy["key_prefix"])) == {f"ticketflow/config/{name}/"}
    assert set(labelled(policy.get("service"))) == CALLS.get(name, set())
    everybody = {"service_prefix"} if name == "dashboard" else set()
    assert set(policy) <= {"key", "key_prefix", "service", "node_prefix"} | everybody
    granted = {rule["policy"] for kind in policy.values() for rule in labelled(kind).values()}
    assert granted == {"read"}


def test_only_callers_have_a_token() -> None:
    assert {name for name, app in APPS.items() if "CONSUL_HTTP_TOKEN" in app.given} == set(CALLERS) == set(CALLS)


def test_every_policy_is_of_a_service_or_of_those_who_run_them() -> None:
    people = {"agent", "dns", "nomad-client", "nomad-server", "operator"}
    assert {path.stem for path in (CONSUL / "policies").glob("*.hcl")} == {*STORED, *people}


@pytest.mark.parametrize("agent", ["server", "client"])
def test_agents_let_nobody_in_without_a_token(agent: str, tmp_path: Path) -> None:
    text = (CONSUL / f"{agent}.hcl").read_text()
    acl = parse(text)["acl"][0]
    assert (acl["enabled"], acl["default_policy"]) == (True, "deny")
    program = find_consul()
    assert program is not None, "There is no consul on PATH or under .ticketflow/: run `make setup`."
    (tmp_path / "agent.hcl").write_text(text)
    command = [program, "validate", str(tmp_path)]
    assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 0
    (tmp_path / "agent.hcl").write_text(text.replace("retry_join", "retry_joins"))
    assert subprocess.run(command, capture_output=True, timeout=30, check=False).returncode == 1


def kv(environment: str) -> dict[str, Any]:
    told: dict[str, Any] = json.loads((CONSUL / f"kv/{environment}.json").read_text())
    return told


@pytest.mark.parametrize("environment", ["dev", "prod"])
@pytest.mark.parametrize("name", STORED)
def test_every_tunable_is_a_setting_with_a_good_value(environment: str, name: str) -> None:
    config = kv(environment)["config"][name]
    settings = settings_of(APPS[name])
    assert settings is not None
    assert set(config) <= {row.key for row in describe(settings)}
    assert not secret_keys(settings) & set(config)
    # What the job decides is not Consul's: kill_timeout, for one, goes by the drain.
    assert not set(APPS[name].env) & set(config)
    required = {row.key: "x" * 40 for row in describe(settings) if row.default == "required"}
    load(settings, required | {"PORT": "1", "SMTP_HOST": "x"} | config)


@pytest.mark.parametrize("environment", ["dev", "prod"])
@pytest.mark.parametrize("name", STORED)
def test_every_tunable_has_its_key(environment: str, name: str) -> None:
    settings = settings_of(APPS[name])
    assert settings is not None
    own = fields_of(name) - {row.key for row in describe(CommonSettings)} - secret_keys(settings) - NO_TUNABLES
    shared = {"LOG_LEVEL"} | (set() if name == "dashboard" else TELEMETRY)  # it is where the telemetry goes
    assert (own | shared) - APPS[name].given <= set(kv(environment)["config"][name])


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_tokens_have_one_issuer(environment: str) -> None:
    issuers = {name: config.get("JWT_ISSUER") for name, config in kv(environment)["config"].items()}
    ours = {name for name in STORED if "JWT_ISSUER" in fields_of(name)}
    assert {name for name, issuer in issuers.items() if issuer} == ours
    assert len({issuers[name] for name in ours}) == 1


def fields_of(name: str) -> set[str]:
    settings = settings_of(APPS[name])
    return {row.key for row in describe(settings)} if settings else set()


@pytest.mark.parametrize("environment", ["dev", "prod"])
def test_the_seed_writes_every_key_that_a_job_reads(environment: str, consul_addr: str) -> None:
    first = seed(consul_addr, environment, "--server", "postgres=10.1.2.3:5432", "--config-anew")
    assert first.returncode == 0, first.stderr
    optional = {"ticketflow/secrets/smtp-password", *(f"ticketflow/secrets/consul/{name}" for name in CALLERS)}
    for job in ALL.values():
        for task in job.tasks:
            text = "".join(template.text for template in task.templates)
            for key in set(re.findall(r'[kK]ey(?:OrDefault)? "(ticketflow/[^"]+)"', text)) - optional:
                assert get(consul_addr, key), key
    assert get(consul_addr, "ticketflow/servers/postgres") == "10.1.2.3:5432"
    assert re.fullmatch(r"[0-9a-f]{64}", get(consul_addr, "ticketflow/secrets/jwt"))


def test_the_seed_overwrites_no_secret(consul_addr: str) -> None:
    put(consul_addr, "/v1/kv/ticketflow/secrets/jwt", b"kept")
    put(consul_addr, "/v1/kv/ticketflow/config/gateway/LOG_LEVEL", b"debug")
    assert seed(consul_addr, "dev").returncode == 0
    assert get(consul_addr, "ticketflow/config/gateway/LOG_LEVEL") == "debug"
    assert seed(consul_addr, "dev", "--config-anew").returncode == 0
    assert get(consul_addr, "ticketflow/config/gateway/LOG_LEVEL") == "info"
    assert get(consul_addr, "ticketflow/secrets/jwt") == "kept"
    put(consul_addr, "/v1/kv/ticketflow?recurse", None, method="DELETE")


def test_the_seed_says_what_is_wrong() -> None:
    assert "does not answer" in seed("http://127.0.0.1:1", "dev").stderr
    assert "is not postgres|redis|rabbitmq=host:port" in seed("http://127.0.0.1:1", "dev", "--server", "x=y").stderr


def seed(consul: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    return script("seed.py", {"CONSUL_HTTP_ADDR": consul}, *arguments)


def script(name: str, env: Mapping[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    command = ["python3", str(CONSUL / name), *arguments]
    environ = {"PATH": os.environ["PATH"], **env}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def get(consul: str, key: str) -> str:
    with urlopen(f"{consul}/v1/kv/{key}?raw", timeout=5) as answer:
        return str(answer.read().decode())


def put(consul: str, path: str, body: bytes | None, method: str = "PUT") -> None:
    urlopen(Request(f"{consul}{path}", data=body, method=method), timeout=5).close()


@pytest.fixture
def nomad(nomad_api: tuple[str, dict[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Nomad's API, as far as reap asks it: its address, and the answers by path."""
    nomad_api[1].update({"/v1/status/leader": "10.0.0.1:4647", f"/v1/allocation/{ALIVE}": {"ClientStatus": "running"}})
    return nomad_api


@pytest.fixture
def registered(consul_addr: str) -> Iterator[str]:
    """A Consul with an instance whose allocation runs, one whose is gone, and one that Nomad did not register."""
    ids = [f"_nomad-task-{ALIVE}-group-api-shop-http", f"_nomad-task-{GONE}-group-api-shop-http", "shop-by-hand"]
    for number, service_id in enumerate(ids):
        body = {"ID": service_id, "Name": "shop", "Port": 1000 + number, "Address": "127.0.0.1"}
        put(consul_addr, "/v1/agent/service/register", json.dumps(body).encode())
    yield consul_addr
    for service_id in ids:
        put(consul_addr, f"/v1/agent/service/deregister/{service_id}", b"")


def left(consul: str) -> set[str]:
    with urlopen(f"{consul}/v1/agent/services", timeout=5) as answer:
        return {service_id for service_id, entry in json.load(answer).items() if entry["Service"] == "shop"}


def test_reap_takes_out_what_is_gone_once_it_is_told_to(registered: str, nomad: tuple[str, dict[str, Any]]) -> None:
    env = {"CONSUL_HTTP_ADDR": registered, "NOMAD_ADDR": nomad[0]}
    before = left(registered)
    dry = script("reap.py", env)
    assert dry.stdout == f"would remove: _nomad-task-{GONE}-group-api-shop-http on ticketflow\n", dry.stderr
    assert left(registered) == before
    assert script("reap.py", env, "--really").stdout.startswith("removed: ")
    assert before - left(registered) == {f"_nomad-task-{GONE}-group-api-shop-http"}
    assert "nothing is left over" in script("reap.py", env).stdout


def test_reap_takes_out_nothing_while_nomad_cannot_be_asked(registered: str, nomad: tuple[str, dict[str, Any]]) -> None:
    before = left(registered)
    nomad[1]["/v1/status/leader"] = ""
    for address in (nomad[0], "http://127.0.0.1:1"):
        result = script("reap.py", {"CONSUL_HTTP_ADDR": registered, "NOMAD_ADDR": address}, "--really")
        assert (result.returncode, "nothing more was done" in result.stderr) == (1, True)
    assert left(registered) == before


def test_reap_asks_a_nomad_with_certificates_of_its_own(
    registered: str, nomad: tuple[str, dict[str, Any]], tmp_path: Path
) -> None:
    consul = find_consul()
    assert consul is not None
    for words in (["ca", "create"], ["cert", "create", "-server", "-additional-ipaddress=127.0.0.1"]):
        subprocess.run([consul, "tls", *words], cwd=tmp_path, check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "dc1-server-consul-0.pem", tmp_path / "dc1-server-consul-0-key.pem")
    with playing(nomad[1], context) as address:
        env = {"CONSUL_HTTP_ADDR": registered, "NOMAD_ADDR": address}
        assert "CERTIFICATE_VERIFY_FAILED" in script("reap.py", env).stderr
        trusting = script("reap.py", env | {"NOMAD_CACERT": str(tmp_path / "consul-agent-ca.pem")})
        assert trusting.stdout.startswith("would remove: "), trusting.stderr


def test_reap_leaves_to_another_node_what_only_its_agent_can_take_out(
    consul_addr: str, nomad: tuple[str, dict[str, Any]]
) -> None:
    service_id = f"_nomad-task-{GONE}-group-api-shop-http"
    env = {"CONSUL_HTTP_ADDR": consul_addr, "NOMAD_ADDR": nomad[0]}
    for status, outcome in (("passing", "left: "), ("critical", "removed: ")):
        check = {"Node": "elsewhere", "CheckID": "serfHealth", "Name": "Serf", "Status": status}
        service = {"ID": service_id, "Service": "shop", "Port": 1}
        body = {"Node": "elsewhere", "Address": "10.9.9.9", "Service": service, "Check": check}
        put(consul_addr, "/v1/catalog/register", json.dumps(body).encode())
        assert script("reap.py", env, "--really").stdout.startswith(outcome)
    put(consul_addr, "/v1/catalog/deregister", b'{"Node": "elsewhere"}')
