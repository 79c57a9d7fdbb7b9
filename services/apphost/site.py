"""Where one copy of the system lives: its ports, its secrets, its folder, and the servers that others run for it."""

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

from services.apphost.errors import ApphostError
from services.apphost.ports import free_ports
from services.apphost.servers.consul import consul_url, find_consul
from services.apphost.servers.postgres import superuser_url
from services.apphost.servers.rabbitmq import rabbitmq_url
from services.apphost.servers.redis import redis_url
from services.apphost.sockets import control_file

DATABASES = ("catalog", "identity", "ordering")


@dataclass(frozen=True, kw_only=True)
class InstancePorts:
    """The ports of one instance of each service that there may be several of."""

    gateway: int = 8080
    identity: int = 8081
    ordering: int = 8082
    catalog: int = 50051
    catalog_admin: int = 8083
    notifications: int = 8084

    @classmethod
    def free(cls) -> Self:
        names = [field.name for field in dataclasses.fields(cls)]
        return cls(**dict(zip(names, free_ports(len(names)), strict=True)))


@dataclass(frozen=True, kw_only=True)
class Ports(InstancePorts):
    """Every port of the system. The servers' lie beside the usual ones, which may be somebody else's already."""

    payments: int = 8085
    smtp: int = 1025
    mailbox: int = 8025
    dashboard: int = 18888
    otlp: int = 4318
    otlp_grpc: int = 4317
    consul: int = 8500
    consul_gossip: int = 18301
    consul_server: int = 18300
    postgres: int = 15432
    redis: int = 16379
    amqp: int = 15679
    epmd: int = 14369
    erlang: int = 15680


def further_ports(count: int, *, free: bool) -> tuple[InstancePorts, ...]:
    """The ports of so many further instances: free ones, or the usual ones and 100 for each instance."""
    usual = dataclasses.asdict(InstancePorts())
    return tuple(
        InstancePorts.free() if free else InstancePorts(**{name: port + 100 * number for name, port in usual.items()})
        for number in range(1, count + 1)
    )


@dataclass(frozen=True, kw_only=True, repr=False)
class Secrets:
    """Made once for each state folder; each is 64 hexadecimal digits."""

    postgres: str
    catalog_database: str
    identity_database: str
    ordering_database: str
    redis: str
    rabbitmq: str
    jwt: str
    service_token: str
    payments_api_key: str
    csrf: str

    def of_database(self, name: str) -> str:
        return str(getattr(self, f"{name}_database"))


@dataclass(frozen=True, kw_only=True)
class Elsewhere:
    """URLs of servers that run already, and are used instead of our own; empty where there is none."""

    postgres: str = ""  # of a superuser, who may create roles and databases
    redis: str = ""
    rabbitmq: str = ""
    consul: str = ""

    @classmethod
    def from_environment(cls, env: Mapping[str, str]) -> "Elsewhere":
        """Raises ApphostError for a value that is no URL of its kind."""
        return cls(
            postgres=_url(env, "TICKETFLOW_POSTGRES_URL", "postgres", "postgresql"),
            redis=_url(env, "TICKETFLOW_REDIS_URL", "redis", "rediss"),
            rabbitmq=_url(env, "TICKETFLOW_RABBITMQ_URL", "amqp", "amqps"),
            consul=_url(env, "TICKETFLOW_CONSUL_ADDR", "http", "https").rstrip("/"),
        )


@dataclass(frozen=True, kw_only=True)
class Site:
    """What the topology is a function of. ``consul_program`` is None where Consul cannot be had."""

    state: Path
    ports: Ports
    secrets: Secrets
    further: tuple[InstancePorts, ...] = ()  # of instances beside the first
    without: tuple[str, ...] = ()  # parts that shall not run
    observed: bool = False  # the services send their telemetry to the dashboard
    elsewhere: Elsewhere = Elsewhere()
    consul_program: str | None = dataclasses.field(default_factory=find_consul)
    log_format: str = "json"
    durable: bool = True  # False: the database may lose data in a power cut, and is faster

    @property
    def instances(self) -> Mapping[int, InstancePorts]:
        """By number, from 1."""
        return dict(enumerate((self.ports, *self.further), 1))

    def addresses(self, service: str) -> str:
        """Of all instances of a service that there may be several of, separated by commas."""
        return ",".join(f"127.0.0.1:{getattr(ports, service)}" for ports in self.instances.values())

    @property
    def postgres_url(self) -> str:
        return self.elsewhere.postgres or superuser_url(self.ports.postgres, self.secrets.postgres)

    @property
    def redis_url(self) -> str:
        return self.elsewhere.redis or redis_url(self.ports.redis, self.secrets.redis)

    @property
    def rabbitmq_url(self) -> str:
        return self.elsewhere.rabbitmq or rabbitmq_url(self.ports.amqp, self.secrets.rabbitmq)

    @property
    def consul_url(self) -> str:
        """Empty without Consul: services then find each other at fixed addresses."""
        if "consul" in self.without:
            return ""
        return self.elsewhere.consul or (consul_url(self.ports.consul) if self.consul_program else "")

    @property
    def control(self) -> Path:
        """The app host's control socket."""
        return control_file(self.state)

    def database_url(self, name: str) -> str:
        """A service's own database, as its own role."""
        server = urlsplit(self.postgres_url)
        return f"postgres://{name}:{self.secrets.of_database(name)}@{server.netloc.rpartition('@')[2]}/{name}"

    def urls(self) -> dict[str, str]:
        """Everything that can be reached, for people and for tests; it holds passwords."""
        ports, http = self.ports, "http://127.0.0.1:{}".format
        return {
            "payments": http(ports.payments),
            "mailbox": http(ports.mailbox),
            "smtp": f"127.0.0.1:{ports.smtp}",
            "dashboard": http(ports.dashboard),
            "otlp": http(ports.otlp),
            "postgres": self.postgres_url,
            "redis": self.redis_url,
            "rabbitmq": self.rabbitmq_url,
            "consul": self.consul_url,
            **{f"{name}_database": self.database_url(name) for name in DATABASES},
            **{
                instance_name(service, number): f"127.0.0.1:{port}" if service == "catalog" else http(port)  # gRPC
                for number, own in self.instances.items()
                for service, port in _instance_ports(own).items()
            },
        }


def instance_name(service: str, number: int) -> str:
    """What an instance is called as a part of the system."""
    return service if number == 1 else f"{service}-{number}"


def _instance_ports(ports: InstancePorts) -> dict[str, int]:
    return {field.name: getattr(ports, field.name) for field in dataclasses.fields(InstancePorts)}


def _url(env: Mapping[str, str], key: str, *schemes: str) -> str:
    value = env.get(key, "")
    if value and (urlsplit(value).scheme not in schemes or not urlsplit(value).hostname):
        raise ApphostError(f"{key} is not a URL.", f"It should begin with {schemes[0]}:// and name a host.")
    return value
