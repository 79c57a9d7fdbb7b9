"""Our own servers, or those that the environment names in their place."""

from dataclasses import replace

from services.apphost.builders import elsewhere
from services.apphost.checks import check_consul, check_postgres, check_rabbitmq, check_redis
from services.apphost.databases import create_databases
from services.apphost.parts import Part
from services.apphost.servers.consul import ConsulPorts, consul
from services.apphost.servers.postgres import postgres
from services.apphost.servers.rabbitmq import RabbitPorts, rabbitmq
from services.apphost.servers.redis import redis
from services.apphost.site import Site


def servers(site: Site) -> tuple[Part, ...]:
    """Each server as a part; one from elsewhere is only checked, and Consul may be missing altogether."""
    return (_postgres(site), _redis(site), *_rabbitmq(site), *_consul(site))


def _postgres(site: Site) -> Part:
    url, fill = site.postgres_url, lambda: create_databases(site)
    if site.elsewhere.postgres:
        return elsewhere("postgres", lambda: check_postgres(url), provision=fill)
    own = postgres(site.state / "postgres", site.ports.postgres, site.secrets.postgres, durable=site.durable)
    return replace(own, provision=fill)


def _redis(site: Site) -> Part:
    if site.elsewhere.redis:
        return elsewhere("redis", lambda: check_redis(site.redis_url))
    return redis(site.state / "redis", site.ports.redis, site.secrets.redis)


def _rabbitmq(site: Site) -> tuple[Part, ...]:
    if site.elsewhere.rabbitmq:
        return (elsewhere("rabbitmq", lambda: check_rabbitmq(site.rabbitmq_url)),)
    ports = RabbitPorts(amqp=site.ports.amqp, epmd=site.ports.epmd, nodes=site.ports.erlang)
    return rabbitmq(site.state / "rabbitmq", ports, site.secrets.rabbitmq)


def _consul(site: Site) -> tuple[Part, ...]:
    if site.elsewhere.consul:
        return (elsewhere("consul", lambda: check_consul(site.consul_url)),)
    if site.consul_program is None:
        return ()
    ports = ConsulPorts(http=site.ports.consul, gossip=site.ports.consul_gossip, server=site.ports.consul_server)
    return (consul(site.consul_program, site.state / "consul-data", ports),)
