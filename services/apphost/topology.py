"""The whole system on one screen: every part, what it is told, what it needs, and how one sees that it is well."""

from functools import partial

from services.apphost.builders import Environments, database, service, step, telemetry, unlimited
from services.apphost.parts import Part, choose
from services.apphost.servers.choice import servers
from services.apphost.site import InstancePorts, Site

DASHBOARD = "dashboard"
SEEN = (DASHBOARD,)  # by which a service is to be seen from its first line to its last


def topology(site: Site) -> tuple[Part, ...]:
    """Servers first, then what fills them, then the services. A need that no part answers (Consul) falls away."""
    env = environments(site)
    return choose((*servers(site), *steps(site, env), *services(site, env)))


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
    told = {
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
    return {name: telemetry(site) | env for name, env in told.items()} | {DASHBOARD: broker | _dashboard(site)}


def _dashboard(site: Site) -> dict[str, str]:
    """It looks at everything, and tells nobody about itself: each of its own traces would make another."""
    return {
        "OTLP_PORT": str(site.ports.otlp),
        "OTLP_GRPC_PORT": str(site.ports.otlp_grpc),
        "DASHBOARD_DB": str(site.state / "telemetry.db"),
        "APPHOST_SOCKET": str(site.control),
        "MAILBOX_URL": f"http://127.0.0.1:{site.ports.mailbox}",
        "SHOP_URL": f"http://localhost:{site.ports.gateway}",
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
    otlp = {"otlp": ports.otlp, "otlp_grpc": ports.otlp_grpc}
    several = [part for number, own in site.instances.items() for part in instances(site, env, number, own)]
    return (
        service(site, DASHBOARD, env, port=ports.dashboard, also=otlp),
        service(site, "mailbox", env, port=ports.mailbox, also={"smtp": ports.smtp}, after=SEEN),
        service(site, "payments", env, port=ports.payments, after=SEEN),
        *several,
    )


def instances(site: Site, env: Environments, number: int, ports: InstancePorts) -> tuple[Part, ...]:
    """One of each service that there may be several of."""
    catalog_needs, worker_needs = ("catalog-data", "redis"), ("rabbitmq", "redis", "mailbox")
    gateway_needs, admin = ("catalog", "identity", "ordering"), {"admin": ports.catalog_admin}
    one = partial(service, site, env=env, number=number, after=SEEN)
    return (
        one("catalog", port=ports.catalog, also=admin, needs=catalog_needs),
        one("identity", port=ports.identity, needs=("identity-data",)),
        one("ordering", port=ports.ordering, needs=("ordering-data", "rabbitmq")),
        one("notifications", port=ports.notifications, needs=worker_needs),
        one("gateway", port=ports.gateway, needs=gateway_needs),
    )
