"""The dashboard's pages as an application."""

from __future__ import annotations

import time
from dataclasses import dataclass

from quart import Blueprint, Quart, Response

from services.dashboard.control import Control
from services.dashboard.mails import Mails
from services.dashboard.pages import errors, routes
from services.dashboard.pages.files import read_assets
from services.dashboard.pages.guard import Guard
from services.dashboard.pages.live import Live
from services.dashboard.pages.rendering import Renderer
from services.dashboard.pages.site import Site, View
from services.dashboard.queues import Queues
from services.dashboard.registry import Registry
from services.dashboard.store import Store
from services.dashboard.token import Access, guard
from services.defaults.health import Health
from services.defaults.http import create_http_app


@dataclass(frozen=True, kw_only=True)
class Deps:
    """What the pages show. What the environment does not name is None: its page says so."""

    store: Store
    access: Access
    health: Health
    control: Control | None = None
    registry: Registry | None = None
    queues: Queues | None = None
    mails: Mails | None = None
    shop_url: str = ""


def create_app(deps: Deps) -> Quart:
    """The pages, behind the token where one is asked for."""
    app = create_http_app("dashboard", deps.health, api_pages=False)
    site = _site(deps)
    pages = Blueprint("pages", __name__)
    routes.mount(pages, site)

    def as_page(view: View) -> Response:
        return routes.render(site, view)

    errors.install(pages, as_page)
    app.register_blueprint(pages)
    guard(app, deps.access, pages=True)
    return app


def _site(deps: Deps) -> Site:
    forms, assets = Guard(), read_assets()
    return Site(
        store=deps.store,
        control=deps.control,
        registry=deps.registry,
        queues=deps.queues,
        mails=deps.mails,
        access=deps.access,
        guard=forms,
        live=Live(deps.store.changes, lambda: deps.health.draining),
        renderer=Renderer(assets, form_token=forms.form_token, shop_url=deps.shop_url),
        assets=assets,
        now_ns=time.time_ns,
    )
