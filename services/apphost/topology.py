"""The whole system on one screen: every part, what it is told, what it needs, and how one sees that it is well."""

from dataclasses import replace

from services.apphost.builders import Environments, database, service, step, unlimited
from services.apphost.parts import Part
from services.apphost.servers.choice import servers
from services.apphost.site import Site


def topology(site: Site) -> tuple[Part, ...]:
    """Servers first, then what fills them, then the services. A need that no part answers (Consul) falls away."""
    env = environments(site)
    parts = (*servers(site), *steps(site, env), *services(site, env))
    names = {part.name for part in parts}
    return tuple(replace(part, needs=tuple(need for need in part.needs if need in names)) for part in parts)


def environments(site: Site) -> dict[str, dict[str, str]]:
    """What each service is told, and so what it may reach: no service knows another's database."""
    secrets = site.secrets
    users = {"JWT_SECRET": secrets.jwt}  # for whoever issues or reads a buyer's access token
    staff = {"SERVICE_TOKEN_SECRET": secrets.service_token}  # by which the catalog knows ordering
    charges = {"PAYMENTS_API_KEY": secrets.payments_api_key}
    cache, broker = {"REDIS_URL": site.redis_url}, {"RABBITMQ_URL": site.rabbitmq_url}
    smtp = {"SMTP_HOST": "127.0.0.1", "SMTP_PORT": str(site.ports.smtp)}
    shop = {"PUBLIC_URL": f"http://localhost:{site.ports.gateway}"}
    sender = {"MAIL_FROM": "TicketFlow <tickets@ticketflow.test>"}
    return {
        "mailbox": {"MAILBOX_SMTP_PORT": str(site.ports.smtp), "MAILBOX_DIR": str(site.state / "mail")},
        "payments": charges
        | {
            "PAYMENTS_DB": str(site.state / "payments.db"),
            "PAYMENTS_WEBHOOK_URL": f"http://127.0.0.1:{site.ports.ordering}/webhooks/payments",
        }
        | unlimited("CHARGE"),
        "catalog": database(site, "catalog") | cache | staff,
        "identity": database(site, "identity")
        | users
        | unlimited("LOGIN", "LOGIN_ADDRESS", "REGISTER", "REFRESH", "READ")
        # Wrong guesses at one account, of which a test may make some.
        | {"LOGIN_ACCOUNT_LIMIT": "30"},
        "ordering": database(site, "ordering")
        | broker
        | users
        | staff
        | charges
        | unlimited("ORDER", "READ", "WEBHOOK"),
        "notifications": cache | broker | shop | smtp | sender,
        "gateway": cache
        | users
        | shop
        | {"CSRF_SECRET": secrets.csrf}
        | unlimited("REQUEST", "LOGIN_ADDRESS", "LOGIN_ACCOUNT", "REGISTER", "REFRESH", "ORDER")
        | unlimited("PAGE", "FORM", "SIGN_IN", "FILE"),
    }


def steps(site: Site, env: Environments) -> tuple[Part, ...]:
    """Migrations and demo data; running them again changes nothing."""
    return (
        step(site, "catalog", ("migrate", "seed"), env, needs=("postgres",)),
        step(site, "identity", ("migrate", "seed"), env, needs=("postgres",)),
        step(site, "ordering", ("migrate",), env, needs=("postgres",)),
    )


def services(site: Site, env: Environments) -> tuple[Part, ...]:
    """Each is well when its ``/health`` says so."""
    ports = site.ports
    return (
        service(site, "mailbox", env, port=ports.mailbox, also={"smtp": ports.smtp}),
        service(site, "payments", env, port=ports.payments),
        service(
            site,
            "catalog",
            env,
            port=ports.catalog,
            also={"admin": ports.catalog_admin},
            needs=("catalog-data", "redis"),
        ),
        service(site, "identity", env, port=ports.identity, needs=("identity-data",)),
        service(site, "ordering", env, port=ports.ordering, needs=("ordering-data", "rabbitmq")),
        service(site, "notifications", env, port=ports.notifications, needs=("rabbitmq", "redis", "mailbox")),
        service(site, "gateway", env, port=ports.gateway, needs=("catalog", "identity", "ordering")),
    )
