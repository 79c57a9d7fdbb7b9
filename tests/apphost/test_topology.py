"""The topology holds together, for every way in which its servers may be had."""

from dataclasses import asdict, fields
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from services.apphost.errors import ApphostError
from services.apphost.parts import Part, with_needs
from services.apphost.site import Elsewhere, Ports, Secrets, Site
from services.apphost.topology import environments, topology

SECRETS = Secrets(**{field.name: f"secret-{field.name}" for field in fields(Secrets)})
NOTHING_ELSEWHERE = Elsewhere()
ALL_ELSEWHERE = Elsewhere(
    postgres="postgres://root:pw@db.test:5432/postgres",
    redis="redis://cache.test:6379/0",
    rabbitmq="amqp://me:pw@broker.test/",
    consul="http://consul.test:8500",
)


def site(elsewhere: Elsewhere = NOTHING_ELSEWHERE, consul_program: str | None = "/bin/true") -> Site:
    return Site(
        state=Path("/nowhere"),
        ports=Ports(),
        secrets=SECRETS,
        elsewhere=elsewhere,
        consul_program=consul_program,
    )


@pytest.fixture(params=["own servers", "servers elsewhere", "no consul"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Part, ...]:
    monkeypatch.setattr("services.apphost.servers.consul._version", lambda program: (1, 8))
    return topology(
        {
            "own servers": site(),
            "servers elsewhere": site(ALL_ELSEWHERE),
            "no consul": site(consul_program=None),
        }[request.param]
    )


def test_every_need_is_a_part_and_none_runs_in_a_circle(parts: tuple[Part, ...]) -> None:
    needs = {part.name: set(part.needs) for part in parts}
    assert len(needs) == len(parts)
    assert {need for each in needs.values() for need in each} <= set(needs)
    TopologicalSorter(needs).prepare()  # raises CycleError


def test_every_port_has_one_owner(parts: tuple[Part, ...]) -> None:
    taken = [port for part in parts for port in part.ports.values()]
    assert len(set(taken)) == len(taken)
    assert set(taken) <= set(asdict(Ports()).values())


def test_every_part_that_stays_has_a_health_check(parts: tuple[Part, ...]) -> None:
    steps = {part.name for part in parts if part.check is None}
    assert steps == {"catalog-data", "identity-data", "ordering-data"}


def test_servers_from_elsewhere_are_not_started(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = {part.name: part for part in topology(site(ALL_ELSEWHERE))}
    assert {name for name, part in parts.items() if part.command is None} == {"postgres", "redis", "rabbitmq", "consul"}
    assert "epmd" not in parts


def test_each_service_is_told_only_its_own_secrets() -> None:
    def holders(secret: str) -> set[str]:
        return {name for name, env in environments(site()).items() if any(secret in value for value in env.values())}

    for name in ("catalog", "identity", "ordering"):
        assert holders(SECRETS.of_database(name)) == {name}
    assert holders(SECRETS.jwt) == {"identity", "ordering", "gateway"}
    assert holders(SECRETS.service_token) == {"catalog", "ordering"}
    assert holders(SECRETS.payments_api_key) == {"payments", "ordering"}
    assert holders(SECRETS.postgres) == set()


def test_without_consul_services_are_told_where_the_others_are() -> None:
    (gateway,) = (part for part in topology(site(consul_program=None)) if part.name == "gateway")
    assert gateway.command is not None
    env = gateway.command.env
    assert (env["CONSUL_HTTP_ADDR"], env["CATALOG_ADDR"]) == ("", "127.0.0.1:50051")


def test_the_caller_s_settings_reach_services_but_not_its_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOG_LEVEL", "debug")
    monkeypatch.setenv("TICKETFLOW_POSTGRES_URL", "postgres://root:pw@db.test/postgres")
    (identity,) = (part for part in topology(site(consul_program=None)) if part.name == "identity")
    assert identity.command is not None
    assert identity.command.env["LOG_LEVEL"] == "debug"
    assert "TICKETFLOW_POSTGRES_URL" not in identity.command.env


def test_a_choice_of_parts_brings_what_they_need(monkeypatch: pytest.MonkeyPatch) -> None:
    parts = topology(site(consul_program=None))
    chosen = [part.name for part in with_needs(parts, ["catalog"])]
    assert chosen == ["postgres", "redis", "catalog-data", "catalog"]
    with pytest.raises(ApphostError, match="no part named shop"):
        with_needs(parts, ["shop"])


@pytest.mark.parametrize("value", ["localhost:5432", "mysql://db.test", "postgres://"])
def test_a_server_s_url_must_be_one(value: str) -> None:
    with pytest.raises(ApphostError, match="TICKETFLOW_POSTGRES_URL is not a URL"):
        Elsewhere.from_environment({"TICKETFLOW_POSTGRES_URL": value})
