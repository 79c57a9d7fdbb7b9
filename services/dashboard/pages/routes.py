"""Every page: its address, and what makes it anew while somebody looks at it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import wraps
from typing import Any, Final
from urllib.parse import urlencode

from quart import Blueprint, Response, request
from quart_rate_limiter import rate_exempt, rate_limit

from services.dashboard.pages import (
    files,
    logs,
    mails,
    messages,
    metrics,
    orders,
    prepared,
    resources,
    service_map,
    tokens,
    traces,
)
from services.dashboard.pages.errors import error_view
from services.dashboard.pages.guard import FIELD
from services.dashboard.pages.site import Page, Query, Site, View
from services.dashboard.store.changes import Kind
from services.dashboard.token import SAFE_METHODS
from services.defaults.errors import AppError, NotFound

LIVE: Final = "/live"
SUBMITS_A_MINUTE: Final = 60
# A strict policy that names no other host. Mails get a frame of their own, under a policy of their own.
CSP: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "frame-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


@dataclass(frozen=True)
class Route:
    """`live`: the page has a stream; `watch` names the telemetry that changes it (None: it is looked at again)."""

    rule: str
    page: Page
    method: str = "GET"
    live: bool = False
    watch: Kind | None = None


ROUTES: Final = (
    Route("/", resources.everything, live=True),
    Route("/resources/<name>", resources.one, live=True),
    Route("/resources/<name>/<verb>", resources.act, "POST"),
    Route("/traces", traces.search, live=True, watch="spans"),
    Route("/traces/<trace_id>", traces.one, live=True, watch="spans"),
    Route("/map", service_map.page, live=True, watch="spans"),
    Route("/logs", logs.tail, live=True, watch="logs"),
    Route("/plots", metrics.catalogue, live=True, watch="points"),
    Route("/plots/<path:name>", metrics.one, live=True, watch="points"),
    Route("/signals", prepared.signals, live=True, watch="points"),
    Route("/business", prepared.business, live=True, watch="points"),
    Route("/messages", messages.page, live=True),
    Route("/messages/replay", messages.replay, "POST"),
    Route("/mails", mails.inbox, live=True),
    Route("/mails/<mail_id>", mails.one),
    Route("/mails/<mail_id>/html", mails.html),
    Route("/mails/<mail_id>/attachments/<int:number>", mails.attachment),
    Route("/orders", orders.find),
    Route("/orders/<number>", orders.one, live=True, watch="spans"),
    Route("/token", tokens.form),
    Route("/token", tokens.enter, "POST"),
    Route("/static/<etag>/<name>", files.asset),
    Route("/favicon.ico", files.favicon),
)


def mount(blueprint: Blueprint, site: Site) -> None:
    """Puts every route on the blueprint, and beside each live one its stream."""
    for route in ROUTES:
        _add(blueprint, route.rule, route.method, _view(site, route))
        if route.live:
            _add(blueprint, LIVE + route.rule, "GET", _stream(site, route))


def _add(blueprint: Blueprint, rule: str, method: str, view: Callable[..., Awaitable[Response]]) -> None:
    name = f"{method} {rule}".replace(".", "_")
    blueprint.add_url_rule(rule, name, view, methods=[method], provide_automatic_options=False)


def _view(site: Site, route: Route) -> Callable[..., Awaitable[Response]]:
    @wraps(route.page)
    async def view(**arguments: Any) -> Response:
        fields: Query = request.args
        if route.method not in SAFE_METHODS:
            fields = await request.form
            site.guard.check(fields.get(FIELD, ""))
        answer = await route.page(site, fields, **arguments)
        return answer if isinstance(answer, Response) else render(site, answer, live=route.live)

    view.__authorization__ = "token"  # type: ignore[attr-defined] # the mark that the route tests look for
    if route.method in SAFE_METHODS:
        return rate_exempt(view)
    return rate_limit(SUBMITS_A_MINUTE, timedelta(minutes=1))(view)


def _stream(site: Site, route: Route) -> Callable[..., Awaitable[Response]]:
    async def stream(**arguments: Any) -> Response:
        site.live.admit()
        query = request.args

        async def body() -> str:
            return site.renderer.body(await _view_or_problem(site, route, query, arguments))

        address = request.full_path
        response = Response(site.live.stream(address, body, route.watch), mimetype="text/event-stream")
        response.timeout = None  # it lasts as long as somebody looks
        response.headers["X-Accel-Buffering"] = "no"
        return response

    stream.__authorization__ = "token"  # type: ignore[attr-defined] # the mark that the route tests look for
    return rate_exempt(stream)


async def _view_or_problem(site: Site, route: Route, query: Query, arguments: dict[str, Any]) -> View:
    try:
        view = await route.page(site, query, **arguments)
    except AppError as error:
        return error_view(error)
    if isinstance(view, Response):  # what it was about has moved on
        raise NotFound("There is nothing to be shown here any more.")
    return view


def render(site: Site, view: View, *, live: bool = False) -> Response:
    """The page as an answer."""
    query = urlencode(list(request.args.items(multi=True)))
    stream = LIVE + request.path + (f"?{query}" if query else "") if live else ""
    html = site.renderer.page(view, path=request.path, live=stream)
    response = Response(html, status=view.status, mimetype="text/html")
    response.headers["Content-Security-Policy"] = CSP
    response.headers["Cache-Control"] = "no-store"
    return response
