"""What consul/define.py puts into a real Consul, and that Consul then keeps to it."""

from __future__ import annotations

import dataclasses
import json
import os
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.parse import quote
from urllib.request import Request, urlopen

import pytest

from services.apphost.ports import free_ports
from services.apphost.servers.consul import ConsulPorts, consul, consul_url, find_consul
from tests.conftest import running
from tests.nomad.hcl import ROOT
from tests.nomad.processes import until

CONSUL = ROOT / "consul"
INTENTIONS: dict[str, dict[str, str]] = json.loads((CONSUL / "intentions.json").read_text())


@dataclasses.dataclass(frozen=True)
class Agent:
    """A Consul, asked with a token. Raises `HTTPError` for statuses from 400 up."""

    url: str
    token: str = ""

    def call(self, path: str, body: object = None, method: str = "") -> Any:
        data = None if body is None else json.dumps(body).encode()
        method = method or ("GET" if data is None else "PUT")
        request = Request(f"{self.url}{path}", data=data, method=method, headers={"X-Consul-Token": self.token})
        with urlopen(request, timeout=5) as answer:
            text = answer.read()
        return json.loads(text) if text.strip() else None

    def define(self, *arguments: str) -> list[str]:
        """What the script says that it changed."""
        env = {"PATH": os.environ["PATH"], "CONSUL_HTTP_ADDR": self.url, "CONSUL_HTTP_TOKEN": self.token}
        command = ["python3", str(CONSUL / "define.py"), *arguments]
        result = subprocess.run(command, env=env, capture_output=True, text=True, timeout=60, check=False)
        assert result.returncode == 0, result.stderr
        lines = result.stdout.splitlines()
        assert lines.pop() == "define: all is as the files say"
        return lines


@pytest.fixture
def open_agent(consul_addr: str) -> Iterator[Agent]:
    """A Consul without ACLs; what a test has defined is gone afterwards."""
    agent = Agent(consul_addr)
    yield agent
    for kind in ("/v1/query", "/v1/connect/intentions"):
        for each in agent.call(kind) or []:
            agent.call(f"{kind}/{each['ID']}", method="DELETE")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Agent]:
    """A Consul with the ACLs of server.hcl, asked as its manager, with all that there is to define."""
    program = find_consul()
    assert program is not None, "There is no consul on PATH or under .ticketflow/: run `make setup`."
    acl = re.search(r"(?ms)^acl \{.*?^\}", (CONSUL / "server.hcl").read_text())
    assert acl is not None
    extra = tmp_path_factory.mktemp("acl") / "acl.hcl"
    extra.write_text(acl[0])
    http, gossip, server = free_ports(3)
    part = consul(program, tmp_path_factory.mktemp("guarded"), ConsulPorts(http=http, gossip=gossip, server=server))
    assert part.command is not None
    argv = [*part.command.argv, f"-config-file={extra}"]
    with running(dataclasses.replace(part, command=dataclasses.replace(part.command, argv=argv))):
        nobody = Agent(consul_url(http))
        bootstrap: dict[str, Any] = {}
        until(lambda: bootstrap.update(nobody.call("/v1/acl/bootstrap", {})), extra)
        manager = dataclasses.replace(nobody, token=str(bootstrap["SecretID"]))
        manager.define("--mesh", "--acl")
        yield manager


def token_of(manager: Agent, service: str) -> Agent:
    request = Request(
        f"{manager.url}/v1/kv/ticketflow/secrets/consul/{service}?raw", headers={"X-Consul-Token": manager.token}
    )
    with urlopen(request, timeout=5) as answer:
        return dataclasses.replace(manager, token=answer.read().decode())


def test_a_second_time_changes_nothing(open_agent: Agent, guarded: Agent) -> None:
    assert open_agent.define() == ["query near-<service>", "query settled-<service>"]
    assert "intention gateway -> catalog: allow" in open_agent.define("--mesh")
    assert open_agent.define("--mesh") == []
    assert guarded.define("--mesh", "--acl") == []


def test_what_differs_is_put_right_and_what_is_not_ours_stays(open_agent: Agent) -> None:
    open_agent.define("--mesh")
    (near,) = (query for query in open_agent.call("/v1/query") if query["Name"] == "near-")
    open_agent.call(f"/v1/query/{near['ID']}", near | {"Service": near["Service"] | {"OnlyPassing": False}})
    open_agent.call("/v1/query", {"Name": "theirs", "Service": {"Service": "theirs"}}, "POST")
    (wrong,) = (
        each
        for each in open_agent.call("/v1/connect/intentions")
        if (each["SourceName"], each["DestinationName"]) == ("gateway", "catalog")
    )
    open_agent.call(f"/v1/connect/intentions/{wrong['ID']}", wrong | {"Action": "deny"})
    assert open_agent.define("--mesh") == ["query near-<service>", "intention gateway -> catalog: allow"]
    assert {query["Name"] for query in open_agent.call("/v1/query")} == {"near-", "settled-", "theirs"}


def test_queries_find_who_is_ready_and_who_is_no_canary(open_agent: Agent) -> None:
    open_agent.define()
    instances = {"old": (["http"], "passing"), "new": (["http", "canary"], "passing"), "ill": (["http"], "critical")}
    for name, (tags, status) in instances.items():
        check = {"Name": "ready", "TTL": "60s", "Status": status}
        body = {"ID": f"shop-{name}", "Name": "shop", "Port": 1, "Tags": tags, "Check": check}
        open_agent.call("/v1/agent/service/register", body)

    def found(query: str) -> set[str]:
        return {node["Service"]["ID"] for node in open_agent.call(f"/v1/query/{query}/execute")["Nodes"]}

    try:
        assert found("near-shop") == {"shop-old", "shop-new"}
        assert found("settled-shop") == {"shop-old"}
        assert found("near-nobody") == set()
    finally:
        for name in instances:
            open_agent.call(f"/v1/agent/service/deregister/shop-{name}", {})


def test_only_who_is_named_may_call_through_the_mesh(open_agent: Agent) -> None:
    open_agent.define("--mesh")

    def may(source: str, destination: str) -> bool:
        asked = f"/v1/connect/intentions/check?source={quote(source)}&destination={quote(destination)}"
        return bool(open_agent.call(asked)["Allowed"])

    everybody = {*INTENTIONS, *(source for sources in INTENTIONS.values() for source in sources)} - {"*"}
    for destination in everybody:
        allowed = {source for source, action in INTENTIONS.get(destination, {}).items() if action == "allow"}
        assert {source for source in everybody - {destination} if may(source, destination)} == allowed


def test_without_a_token_one_sees_where_services_are_and_no_more(guarded: Agent) -> None:
    guarded.call("/v1/agent/service/register", {"ID": "seen", "Name": "seen", "Port": 1})
    for kind, policy in (("agent", "agent"), ("default", "dns")):  # as the runbook has it
        token = guarded.call("/v1/acl/token", {"Policies": [{"Name": f"ticketflow-{policy}"}]})
        guarded.call(f"/v1/agent/token/{kind}", {"Token": token["SecretID"]})
    nobody = dataclasses.replace(guarded, token="")
    (seen,) = nobody.call("/v1/health/service/seen")
    node = {key: seen["Node"][key] for key in ("Node", "Address")}
    for path, body in (
        ("/v1/agent/service/register", {"Name": "seen", "Port": 2}),
        ("/v1/agent/service/deregister/seen", {}),
        ("/v1/catalog/register", node | {"Check": {"Name": "ill", "Status": "critical"}}),
        ("/v1/catalog/deregister", {"Node": node["Node"]}),
        ("/v1/kv/ticketflow/secrets/jwt", "mine"),
    ):
        with pytest.raises(HTTPError, match="403"):
            nobody.call(path, body)
    with pytest.raises(HTTPError, match="403"):
        nobody.call("/v1/agent/self")
    with pytest.raises(HTTPError, match=r"40[34]"):
        nobody.call("/v1/kv/ticketflow/secrets/consul/gateway")


def test_a_service_s_token_opens_what_it_needs_and_nothing_else(guarded: Agent) -> None:
    for name in ("catalog", "payments"):
        guarded.call("/v1/agent/service/register", {"ID": name, "Name": name, "Port": 1})
    for key in ("config/gateway/LOG_LEVEL", "config/ordering/LOG_LEVEL", "secrets/jwt", "secrets/payments-api-key"):
        guarded.call(f"/v1/kv/ticketflow/{key}", "x")
    gateway = token_of(guarded, "gateway")
    assert len(gateway.call("/v1/health/service/catalog")) == 1
    assert gateway.call("/v1/health/service/payments") == []  # ordering calls it, the gateway does not
    for key in ("config/gateway/LOG_LEVEL", "secrets/jwt"):
        assert gateway.call(f"/v1/kv/ticketflow/{key}")
    for key in ("config/ordering/LOG_LEVEL", "secrets/payments-api-key"):
        with pytest.raises(HTTPError, match=r"40[34]"):
            gateway.call(f"/v1/kv/ticketflow/{key}")
    for path, body in (
        ("/v1/kv/ticketflow/secrets/jwt", "mine"),
        ("/v1/agent/service/register", {"Name": "catalog", "Port": 1}),
        ("/v1/agent/service/deregister/catalog", {}),
    ):
        with pytest.raises(HTTPError, match="403"):
            gateway.call(path, body)
    assert {"catalog", "payments"} <= set(token_of(guarded, "dashboard").call("/v1/catalog/services"))


def test_a_token_that_was_handed_out_stays(guarded: Agent) -> None:
    before = token_of(guarded, "ordering")
    policy = next(each for each in guarded.call("/v1/acl/policies") if each["Name"] == "ticketflow-ordering")
    guarded.call(f"/v1/acl/policy/{policy['ID']}", {"ID": policy["ID"], "Name": policy["Name"], "Rules": ""})
    assert guarded.define("--acl") == ["policy ticketflow-ordering"]
    assert token_of(guarded, "ordering") == before


def test_it_says_why_it_cannot(guarded: Agent, tmp_path: Path) -> None:
    for url, why in ((guarded.url, "Consul says 403"), ("http://127.0.0.1:1", "does not answer")):
        env = {"PATH": os.environ["PATH"], "CONSUL_HTTP_ADDR": url}
        command = ["python3", str(CONSUL / "define.py"), "--acl"]
        result = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert (result.returncode, why in result.stderr) == (1, True), result.stderr
