"""What every Quart application does alike: health, errors as problem+json, limits, OpenAPI, deadlines."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from collections.abc import Awaitable, Callable, Coroutine, Iterable
from functools import partial, wraps
from math import ceil
from typing import Any, Final, ParamSpec, TypeVar

import swagger_ui_bundle
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from pydantic.alias_generators import to_camel
from quart import Blueprint, Quart, Request, Response, current_app, g, jsonify, request, send_from_directory
from quart.typing import ResponseReturnValue
from quart_rate_limiter import RateLimiter, RateLimitExceeded, rate_exempt
from quart_schema import OpenAPIProvider, QuartSchema, RequestSchemaValidationError, document_response, hide
from quart_schema.typing import PydanticDumpOptions
from werkzeug.exceptions import BadRequest, HTTPException, UnsupportedMediaType

from services.defaults.asgi import DeadlineMiddleware, HearOutMiddleware
from services.defaults.auth import Principal, TokenVerifier, bearer_token, challenge
from services.defaults.errors import AppError, Invalid, NotFound, RateLimited, error_class, to_problem
from services.defaults.health import Health
from services.defaults.rate_limits import BoundedStore
from services.defaults.sentences import finish, invalid_fields
from services.defaults.telemetry import current_trace_id, note_error
from services.defaults.telemetry.metering import may_read_metrics, metrics_page
from services.defaults.telemetry.server import TraceRequests, note_route

PROBLEM_JSON: Final = "application/problem+json"
BODY_TIMEOUT_S: Final = 7  # with what a refusal hears out, a dripping body is cut off within 10 s
MAX_BODY_BYTES: Final = 64 * 1024
SECURITY_HEADERS: Final = (
    ("X-Content-Type-Options", "nosniff"),
    ("Referrer-Policy", "same-origin"),
    ("Cache-Control", "no-store"),
)
DOCS_CSP: Final = "default-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:"

_HTTP_SENTENCES: Final = {
    400: "The request cannot be read. Its body must be well-formed JSON.",
    404: "There is nothing at this address.",
    405: "This address does not take that method.",
    408: "The request took too long to arrive.",
    413: "The request's body is too large.",
    415: "The request's body must be JSON, sent as application/json.",
    500: "Something went wrong on our side.",
}

P = ParamSpec("P")
R = TypeVar("R")
Network = ipaddress.IPv4Network | ipaddress.IPv6Network
logger = logging.getLogger(__name__)


class Model(BaseModel):
    """A JSON body: camelCase outside (snake_case is understood too), and nothing that it does not name."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        populate_by_name=True,
        extra="forbid",
        frozen=True,
        str_strip_whitespace=True,
    )


class ProblemBody(Model):
    """An error (RFC 9457): `code` is for programs, `detail` for people, `fields` for forms."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    fields: dict[str, str] = Field(default_factory=dict)
    trace_id: str = ""


class NoBody:
    """Stands for an answer without a body, which quart-schema has no word for."""


class OpenApi(OpenAPIProvider):
    """quart-schema's document, which knows answers without a body, too."""

    def build_response_object(self, model: Any, headers_model: Any) -> tuple[dict[str, Any], dict[str, Any]]:
        if model is NoBody:
            return {"description": "Done; there is nothing to say."}, {}
        return super().build_response_object(model, headers_model)


class JsonRequest(Request):
    """Refuses what `json` or a codec chokes on as the bad request that it is."""

    async def get_json(self, *args: Any, **kwargs: Any) -> Any:
        """The body's JSON. Raises `UnsupportedMediaType` where it is called something else, and `BadRequest`
        where it is none, not UTF-8, or nested beyond reason.
        """
        if not self.is_json:
            raise UnsupportedMediaType
        try:
            return await super().get_json(*args, **kwargs)
        except (UnicodeDecodeError, RecursionError) as error:
            raise BadRequest from error


def create_http_app(
    name: str,
    health: Health,
    *,
    max_body_bytes: int = MAX_BODY_BYTES,
    trusted_proxies: Iterable[str] = (),
    api_pages: bool = True,
    verifier: TokenVerifier | None = None,
    open_to_strangers: bool = False,
) -> Quart:
    """A Quart application with the rooms that each has, and no business of its own.

    `trusted_proxies` are the networks whose `X-Forwarded-For` is believed, and, where it is `open_to_strangers`,
    the only ones whose traces go on here and whose deadlines count. With `api_pages` the OpenAPI document is at
    `/openapi.json` and its page at `/docs`.
    """
    trusted = [ipaddress.ip_network(proxy) for proxy in trusted_proxies]
    app = Quart(name, static_folder=None)
    app.request_class = JsonRequest
    app.url_map.strict_slashes = False  # /orders/ is /orders
    app.config.update(
        MAX_CONTENT_LENGTH=max_body_bytes,
        BODY_TIMEOUT=BODY_TIMEOUT_S,
        TRUSTED_PROXIES=trusted,
        TOKEN_VERIFIER=verifier,
        HEALTH=health,
    )
    RateLimiter(app, key_function=_rate_limit_key, store=BoundedStore())
    _install_api_pages(app, enabled=api_pages)
    _install_errors(app)
    app.register_blueprint(_probes)
    app.before_request(_note_route)
    app.after_request(_set_security_headers)
    app.after_serving(_finish_writes)
    trusts = partial(_is_within, trusted) if open_to_strangers else _anyone
    inside = DeadlineMiddleware(HearOutMiddleware(app.asgi_app), trusts)
    app.asgi_app = TraceRequests(inside, trusts)  # type: ignore[method-assign] # Quart's own way to wrap
    return app


def authenticated(scope: str) -> Callable[[Callable[P, Awaitable[R]]], Callable[P, Awaitable[R]]]:
    """The route needs a person's bearer token that has the scope; whose it is stands in `principal()`."""

    def decorate(handler: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
        @wraps(handler)
        async def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:
            verifier: TokenVerifier = current_app.config["TOKEN_VERIFIER"]
            g.principal = verifier.verify(bearer_token(request.headers.get("Authorization")))
            g.principal.require(scope)
            return await handler(*args, **kwargs)

        wrapper.__authorization__ = "bearer"  # type: ignore[attr-defined] # the mark that the route tests look for
        return wrapper

    return decorate


def public(handler: Callable[P, Awaitable[R]]) -> Callable[P, Awaitable[R]]:
    """The route is open to everyone, and says so."""
    handler.__authorization__ = "public"  # type: ignore[attr-defined] # the mark that the route tests look for
    return handler


def documented_as_empty(status: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Names, in the OpenAPI document, an answer of a route that has no body."""
    return document_response(NoBody, status)


def documented_problems(*statuses: int) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """Names the errors of a route in the OpenAPI document."""

    def decorate(handler: Callable[P, R]) -> Callable[P, R]:
        for status in statuses:
            handler = document_response(ProblemBody, status)(handler)
        return handler

    return decorate


def principal() -> Principal:
    """Whoever the request of an `authenticated` route is made for."""
    return g.principal  # type: ignore[no-any-return] # g holds anything


def client_address() -> str:
    """The address of whoever asks: the peer's, or what a trusted proxy says of it."""
    if "client_address" not in g:  # the limiter alone asks three times a request
        g.client_address = _find_client()
    return str(g.client_address)


def _find_client() -> str:
    peer = request.remote_addr or ""
    forwarded = request.headers.get("X-Forwarded-For", "")
    hops = [hop.strip() for hop in forwarded.split(",") if hop.strip()]
    while hops and _is_trusted(peer):
        peer = hops.pop()
    return peer


async def run_to_completion(work: Coroutine[Any, Any, R]) -> R:
    """Runs a write that must not stop half way.

    Quart cancels a handler whose client has gone; the write goes on all the same, and the process does not
    end before it has.
    """
    tasks: set[asyncio.Task[Any]] = current_app.config.setdefault("WRITES", set())
    task = asyncio.create_task(work)
    tasks.add(task)
    task.add_done_callback(tasks.discard)
    return await asyncio.shield(task)


def problem_response(error: AppError) -> Response:
    """The error as `application/problem+json` (RFC 9457)."""
    note_error(error.code, is_fault=error.status >= 500)
    response = jsonify(to_problem(error, trace_id=current_trace_id()))
    response.status_code = error.status
    response.mimetype = PROBLEM_JSON
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(max(1, ceil(error.retry_after_s)))
    response.headers.update(challenge(error, request.headers.get("Authorization")))
    return response


_probes = Blueprint("probes", __name__)


@_probes.get("/health")
@rate_exempt
@hide
@public
async def _health() -> ResponseReturnValue:
    health: Health = current_app.config["HEALTH"]
    ready, body = await health.report()
    return body, 200 if ready else 503


@_probes.get("/alive")
@rate_exempt
@hide
@public
async def _alive() -> ResponseReturnValue:
    return {"status": "pass"}


@_probes.get("/metrics")
@rate_exempt
@hide
@public
async def _metrics() -> Response:
    if not may_read_metrics(request.remote_addr or "", forwarded="X-Forwarded-For" in request.headers):
        raise NotFound("There is nothing at this address.")
    text, content_type = await asyncio.to_thread(metrics_page, request.headers.get("Accept", ""))
    return Response(text, content_type=content_type)


@_probes.get("/docs/assets/<path:name>")
@rate_exempt
@hide
@public
async def _docs_asset(name: str) -> Response:
    return await send_from_directory(swagger_ui_bundle.swagger_ui_path, name)


def _install_api_pages(app: Quart, *, enabled: bool) -> None:
    app.config["QUART_SCHEMA_SWAGGER_JS_URL"] = "/docs/assets/swagger-ui-bundle.js"
    app.config["QUART_SCHEMA_SWAGGER_CSS_URL"] = "/docs/assets/swagger-ui.css"
    QuartSchema(
        app,
        openapi_path="/openapi.json" if enabled else None,
        openapi_provider_class=OpenApi,
        redoc_ui_path=None,
        scalar_ui_path=None,
        info={"title": f"TicketFlow {app.name}", "version": "1"},
        conversion_preference="pydantic",
        pydantic_dump_options=PydanticDumpOptions(by_alias=True),
        security_schemes={"bearer": {"type": "http", "scheme": "bearer", "bearer_format": "JWT"}},
    )


def _install_errors(app: Quart) -> None:
    app.register_error_handler(AppError, _on_app_error)
    app.register_error_handler(RateLimitExceeded, _on_rate_limit)
    app.register_error_handler(RequestSchemaValidationError, _on_invalid_body)
    app.register_error_handler(HTTPException, _on_http_error)
    app.register_error_handler(Exception, _on_unexpected)


async def _on_app_error(error: AppError) -> Response:
    if error.status >= 500:
        logger.warning("request failed", extra={"code": error.code, "status": error.status})
    return problem_response(error)


async def _on_rate_limit(error: RateLimitExceeded) -> Response:
    wait_s = float(error.retry_after)  # type: ignore[arg-type] # werkzeug's base allows more than the limiter sets
    return problem_response(RateLimited("Too many requests. Try again in a moment.", retry_after_s=wait_s))


async def _on_invalid_body(error: RequestSchemaValidationError) -> Response:
    cause = error.validation_error
    fields = invalid_fields(cause) if isinstance(cause, ValidationError) else {}
    message = "Some of what was sent cannot be accepted." if fields else "The request's body must be JSON."
    return problem_response(Invalid(message, fields=fields))


async def _on_http_error(error: HTTPException) -> Response:
    status = error.code or 500
    kind = error_class(status)
    detail = _HTTP_SENTENCES.get(status) or finish(error.description or error.name)
    response = problem_response(kind(detail, status=status))
    for name, value in error.get_headers():
        if name in {"Allow", "Retry-After"}:
            response.headers[name] = value
    return response


async def _on_unexpected(error: Exception) -> Response:
    logger.error("unexpected error", exc_info=error, extra={"path": request.path})
    return problem_response(AppError("Something went wrong on our side."))


async def _note_route() -> None:
    if request.url_rule is not None:
        note_route(request.scope, request.url_rule.rule)


async def _set_security_headers(response: Response) -> Response:
    # Not by `setdefault`: it makes an exception for each header that is missing.
    there = {name.lower() for name, _ in response.headers}
    for name, value in (*SECURITY_HEADERS, ("Content-Security-Policy", _csp(request.path))):
        if name.lower() not in there:
            response.headers.add(name, value)
    return response


def _csp(path: str) -> str:
    if path == "/docs":
        return DOCS_CSP.replace("default-src 'self'", "default-src 'self' 'unsafe-inline'")
    return "default-src 'none'; frame-ancestors 'none'"


async def _finish_writes() -> None:
    tasks: set[asyncio.Task[Any]] = current_app.config.get("WRITES", set())
    if tasks:
        await asyncio.wait(tasks)


async def _rate_limit_key() -> str:
    return client_address()


def _is_trusted(address: str) -> bool:
    return _is_within(current_app.config["TRUSTED_PROXIES"], address)


def _anyone(_address: str) -> bool:
    return True


def _is_within(networks: Iterable[Network], address: str) -> bool:
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return False
    return any(parsed in network for network in networks)
