"""The gateway's edge: GraphQL for programs, pages for people."""

from __future__ import annotations

from quart import Quart

from services.defaults.http import create_http_app
from services.gateway.deps import Deps
from services.gateway.endpoint import create_graphql_blueprint
from services.gateway.web import create_web_blueprint
from services.gateway.web.routes import Rates


def create_app(deps: Deps, page_rates: Rates | None = None) -> Quart:
    app = create_http_app(
        "gateway",
        deps.health,
        max_body_bytes=deps.max_body_bytes,
        trusted_proxies=deps.trusted_proxies,
        api_pages=False,  # its API is GraphQL, which describes itself
        verifier=deps.verifier,
        open_to_strangers=True,
    )
    app.register_blueprint(create_graphql_blueprint(deps))
    app.register_blueprint(create_web_blueprint(deps, page_rates))
    return app
