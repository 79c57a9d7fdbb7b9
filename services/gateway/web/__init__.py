"""The shop's pages: rendered here, from the same GraphQL schema that programs use."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

from quart import Blueprint

from services.defaults.assets import Assets
from services.gateway import engine
from services.gateway.context import utc_now
from services.gateway.deps import Deps
from services.gateway.memory import Memory
from services.gateway.web import errors
from services.gateway.web.csrf import CsrfGuard
from services.gateway.web.pages_files import poster_address
from services.gateway.web.rendering import Renderer
from services.gateway.web.routes import Rates, finish, mount
from services.gateway.web.session import Jar, Sessions
from services.gateway.web.shop import Caller, Shop, Variables
from services.gateway.web.site import Site

WEB = Path(__file__).parents[3] / "web"
SHARED_TTL_S = 2.0  # as long as a list may be behind; the catalog's own cache may be 30 s behind
MAX_SHARED = 500  # of some 40 kB: body and page
POSTER_TTL_S = 24 * 3600.0
MAX_POSTERS = 2000  # of about 4 kB


def create_web_blueprint(deps: Deps, rates: Rates | None = None) -> Blueprint:
    """Every page, with its errors. Wants the limits and the telemetry of `create_http_app` around it."""
    site = _make_site(deps)
    blueprint = Blueprint("web", __name__)
    mount(blueprint, site, rates or Rates())
    errors.install(blueprint, site)
    blueprint.after_request(partial(_finish, site))
    return blueprint


def _make_site(deps: Deps) -> Site:
    async def execute(document: str, variables: Variables, caller: Caller) -> Mapping[str, Any]:
        context = deps.context(principal=caller.principal, token=caller.token, client_address=caller.address)
        return await engine.execute(document, variables, context)

    shop, assets = Shop(execute), Assets("/assets", WEB / "static")
    return Site(
        shop=shop,
        sessions=Sessions(deps.verifier, shop.refresh, deps.neighbours),
        jar=Jar(deps.production),
        csrf=CsrfGuard(deps.cookie_secret, deps.public_url),
        renderer=Renderer(WEB / "templates", assets, poster_address),
        assets=assets,
        shared=Memory(ttl_s=SHARED_TTL_S, size=MAX_SHARED),
        posters=Memory(ttl_s=POSTER_TTL_S, size=MAX_POSTERS),
        now=utc_now,
        public_url=deps.public_url.rstrip("/"),
        public_browsing=deps.public_browsing,
        sandbox=not deps.production,
    )


async def _finish(site: Site, response: Any) -> Any:
    return finish(site, response)
