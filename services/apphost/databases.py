"""The services' databases: one each, owned by a role of its own, closed to every other."""

import asyncpg

from services.apphost.errors import ApphostError
from services.apphost.site import DATABASES, Site


async def create_databases(site: Site) -> None:
    """Create what is missing and set each role's password anew; running it again changes nothing.

    Names and passwords are our own constants and hexadecimal digits: DDL takes no parameters.
    Raises ApphostError when the server refuses.
    """
    try:
        connection = await asyncpg.connect(site.postgres_url, timeout=10)
        try:
            for name in DATABASES:
                await _create(connection, name, site.secrets.of_database(name))
        finally:
            await connection.close(timeout=5)
    except (OSError, asyncpg.PostgresError) as error:
        raise ApphostError(
            f"The databases could not be made: {error}.",
            "A server of your own must let TICKETFLOW_POSTGRES_URL's role create roles and databases.",
        ) from error


async def _create(connection: "asyncpg.Connection", name: str, password: str) -> None:
    if not await connection.fetchval("SELECT 1 FROM pg_roles WHERE rolname = $1", name):
        await connection.execute(f"CREATE ROLE {name} LOGIN")
    await connection.execute(f"ALTER ROLE {name} PASSWORD '{password}'")
    if not await connection.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
        await connection.execute(f"CREATE DATABASE {name} OWNER {name}")
    await connection.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
