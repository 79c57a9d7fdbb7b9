"""The topology holds together, for every way in which its servers may be had."""

from dataclasses import asdict, fields, replace
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

from services.apphost.errors import ApphostError
from services.apphost.parts import Part, choose, is_chosen
from services.apphost.site import Elsewhere, Ports, Secrets, Site, further_ports
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


@pytest.fixture(params=["own servers", "servers elsewhere", "no consul", "four instances"])
def parts(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> tuple[Part, ...]:
    monkeypatch.setattr("services.apphost.servers.consul._version", lambda program: (1, 8))
    return topology(
        {
            "own servers": site(),
            "servers elsewhere": site(ALL_ELSEWHERE),
            "no consul": site(consul_program=None),
            "four instances": replace(site(), further=further_ports(3, free=False)),
        }[request.param]
    )


def test_every_need_is_a_part_and_none_runs_in_a_circle(parts: tuple[Part, ...]) -> None:
    needs = {part.name: set(part.predecessors) for part in parts}
    assert len(needs) == len(parts)
    assert {need for each in needs.values() for need in each} <= set(needs)
    TopologicalSorter(needs).prepare()  # raises CycleError


def test_every_port_has_one_owner(parts: tuple[Part, ...]) -> None:
    taken = [port for part in parts for port in part.ports.values()]
    assert len(set(taken)) == len(taken)
    assert set(asdict(Ports()).values()) >= {port for port in taken if port < 50100 and not 8100 <= port < 8400}


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


def test_further_instances_have_ports_of_their_own_and_one_name_in_consul() -> None:
    whole = replace(site(consul_program=None), further=further_ports(1, free=False))
    parts = {part.name: part for part in topology(whole)}
    assert {name for name in parts if name.endswith("-2")} == {
        *("gateway-2", "identity-2", "ordering-2", "catalog-2", "notifications-2")
    }
    second = parts["catalog-2"]
    assert (second.service, second.needs) == ("catalog", (*parts["catalog"].needs, "catalog"))
    assert second.ports == {"main": 50151, "admin": 8183}
    assert second.health == "http://127.0.0.1:8183/health"
    assert environment(second)["PORT"] == "50151"
    assert whole.urls()["catalog-2"] == "127.0.0.1:50151"
    assert whole.urls()["gateway-2"] == "http://127.0.0.1:8180"


def test_without_consul_every_instance_is_named() -> None:
    whole = replace(site(consul_program=None), further=further_ports(1, free=False))
    (gateway,) = (part for part in topology(whole) if part.name == "gateway-2")
    told = environment(gateway)
    assert told["CATALOG_ADDR"] == "127.0.0.1:50051,127.0.0.1:50151"
    assert told["ORDERING_ADDR"] == "127.0.0.1:8082,127.0.0.1:8182"
    assert told["PAYMENTS_ADDR"] == "127.0.0.1:8085"


def test_free_ports_of_instances_differ() -> None:
    ports = [port for own in further_ports(3, free=True) for port in asdict(own).values()]
    assert len(set(ports)) == 18


def test_every_service_tells_the_dashboard_but_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("OTEL_EXPORTER_OTLP_ENDPOINT", raising=False)
    told = endpoints(replace(site(consul_program=None), observed=True))
    assert told.pop("dashboard") is None
    assert set(told.values()) == {"http://127.0.0.1:4318"}
    assert set(endpoints(site(consul_program=None)).values()) == {None}


def test_telemetry_goes_where_the_caller_says(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://collector.test:4318")
    told = endpoints(replace(site(consul_program=None), observed=True))
    assert set(told.values()) == {"http://collector.test:4318"}


def endpoints(whole: Site) -> dict[str, str | None]:
    """Where each service sends its telemetry."""
    services = [part for part in topology(whole) if part.service]
    return {part.name: environment(part).get("OTEL_EXPORTER_OTLP_ENDPOINT") for part in services}


def environment(part: Part) -> dict[str, str]:
    assert part.command is not None
    return dict(part.command.env)


def test_nothing_needs_the_dashboard_and_all_are_seen_by_it_from_first_to_last(parts: tuple[Part, ...]) -> None:
    assert "dashboard" not in {need for part in parts for need in part.needs}
    services = {part.name for part in parts if part.service}
    assert {part.name for part in parts if "dashboard" in part.after} == services - {"dashboard"}
    assert all(part.after == () for part in choose(parts, without=["dashboard"]))
    assert "dashboard" not in {part.name for part in choose(parts, ["gateway"])}


def test_a_choice_of_parts_brings_what_they_need() -> None:
    parts = topology(site(consul_program=None))
    chosen = [part.name for part in choose(parts, ["catalog"])]
    assert chosen == ["postgres", "redis", "catalog-data", "catalog"]
    with pytest.raises(ApphostError, match="no part named shop"):
        choose(parts, ["shop"])


def test_a_service_s_name_stands_for_its_instances() -> None:
    parts = topology(replace(site(consul_program=None), further=further_ports(1, free=False)))
    chosen = {part.name for part in choose(parts, ["catalog"])}
    assert chosen == {"postgres", "redis", "catalog-data", "catalog", "catalog-2"}
    assert "catalog-2" not in {part.name for part in choose(parts, ["catalog"], without=["catalog-2"])}
    assert not {part.service for part in choose(parts, without=["catalog"])} & {"catalog"}


def test_what_is_left_out_is_nobody_s_need() -> None:
    parts = topology(site(consul_program=None))
    kept = choose(parts, without=["dashboard"])
    assert {part.name for part in parts} - {part.name for part in kept} == {"dashboard"}
    chosen = {part.name: part.needs for part in choose(parts, ["catalog"], without=["redis"])}
    assert chosen == {"postgres": (), "catalog-data": ("postgres",), "catalog": ("catalog-data",)}
    with pytest.raises(ApphostError, match="no part named shop"):
        choose(parts, without=["shop"])


@pytest.mark.parametrize(
    ("wanted", "without", "chosen"),
    [([], [], True), ([], ["dashboard"], False), (["dashboard"], [], True), (["gateway"], [], False)],
)
def test_the_dashboard_is_there_unless_left_out(wanted: list[str], without: list[str], chosen: bool) -> None:
    assert is_chosen("dashboard", wanted, without) is chosen


@pytest.mark.parametrize("value", ["localhost:5432", "mysql://db.test", "postgres://"])
def test_a_server_s_url_must_be_one(value: str) -> None:
    with pytest.raises(ApphostError, match="TICKETFLOW_POSTGRES_URL is not a URL"):
        Elsewhere.from_environment({"TICKETFLOW_POSTGRES_URL": value})
