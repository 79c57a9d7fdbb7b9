"""The way to the Consul agent: one client, and how long to wait between tries."""

from __future__ import annotations

import logging
import warnings
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from consul.aio import Consul

from services.defaults.outages import is_news
from services.defaults.settings import CommonSettings, SettingsError

logger = logging.getLogger(__name__)


def log_consul_failure(purpose: str, failures: int, error: BaseException) -> None:
    """A warning where it is news; the other failures of an outage only for who debugs."""
    level = logging.WARNING if is_news(failures) else logging.DEBUG
    logger.log(level, "consul does not answer", extra={"purpose": purpose, "reason": repr(error)})


@asynccontextmanager
async def open_consul(settings: CommonSettings) -> AsyncIterator[Consul]:
    """A client of the agent at `settings.consul_http_addr`; connects only when it is used.

    Raises `SettingsError` if the address makes no sense.
    """
    text = settings.consul_http_addr
    url = urlsplit(text if "//" in text else f"//{text}", scheme="http")
    if url.scheme not in ("http", "https") or not url.hostname:
        raise SettingsError(f"CONSUL_HTTP_ADDR: {text!r} is not an http(s) address")
    with warnings.catch_warnings():
        # py-consul 1.8 still hands aiohttp the deprecated `verify_ssl` and `ssl_context`.
        warnings.simplefilter("ignore", DeprecationWarning)
        consul = Consul(
            host=url.hostname,
            port=url.port or 8500,
            scheme=url.scheme,
            token=settings.consul_http_token or None,
            verify=url.scheme == "https",
        )
    try:
        yield consul
    finally:
        await consul.close()
