"""Identity's REST edge: parse, call, render. Errors are problem+json; every answer is `no-store`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Annotated, Any, Final, Literal, Self, TypeVar

from pydantic import AfterValidator, ConfigDict, Field, SecretStr
from quart import Blueprint, Quart, current_app, request
from quart_rate_limiter import rate_limit
from quart_schema import security_scheme, tag, validate_request, validate_response

from services.defaults.auth import PROFILE_SCOPE, TokenVerifier, bearer_token
from services.defaults.errors import Unauthorized
from services.defaults.health import Health
from services.defaults.http import (
    Model,
    authenticated,
    client_address,
    create_http_app,
    documented_as_empty,
    documented_problems,
    principal,
    public,
    run_to_completion,
)
from services.identity.domain import Origin, User, make_origin
from services.identity.service import IdentityService, Session

MINUTE: Final = timedelta(minutes=1)
F = TypeVar("F", bound=Callable[..., Any])


def _is_text(secret: SecretStr) -> SecretStr:
    """JSON may hold half a surrogate pair, which is no character: pydantic refuses it in `str` only."""
    try:
        secret.get_secret_value().encode()
    except UnicodeEncodeError:
        raise ValueError("This is not text.") from None
    return secret


Email = Annotated[str, Field(max_length=320, examples=["demo@ticketflow.test"])]
Password = Annotated[SecretStr, AfterValidator(_is_text), Field(max_length=1024, examples=["correct horse battery"])]
RefreshToken = Annotated[SecretStr, AfterValidator(_is_text), Field(min_length=1, max_length=512)]


@dataclass(frozen=True)
class RouteLimits:
    """Requests per minute of one instance, by kind of route: `read` by one account, the rest from one address."""

    register: int
    login: int
    refresh: int
    read: int


@dataclass(frozen=True)
class Deps:
    """What the edge needs."""

    service: IdentityService
    verifier: TokenVerifier
    health: Health
    limits: RouteLimits
    trusted_proxies: tuple[str, ...] = ()
    api_pages: bool = True


class Body(Model):
    model_config = ConfigDict(str_strip_whitespace=False)  # spaces at the ends of a password are part of it


class RegisterBody(Body):
    """`password` has 10 to 128 characters, `name` 1 to 80."""

    email: Email
    password: Password
    name: Annotated[str, Field(max_length=400, examples=["Demo Buyer"])]


class LoginBody(Body):
    email: Email
    password: Password


class RefreshBody(Body):
    refresh_token: RefreshToken


class UserBody(Body):
    id: str
    email: str
    name: str

    @classmethod
    def of(cls, user: User) -> Self:
        return cls(id=str(user.id), email=user.email, name=user.name)


class SessionBody(Body):
    """As RFC 6749, 5.1, in camelCase: `expiresIn` is the access token's lifetime in seconds."""

    access_token: str
    refresh_token: str
    expires_in: int
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of a scheme, not a token
    user: UserBody

    @classmethod
    def of(cls, session: Session) -> Self:
        return cls(
            access_token=session.access_token,
            refresh_token=session.refresh_token,
            expires_in=session.expires_in_s,
            user=UserBody.of(session.user),
        )


def create_app(deps: Deps) -> Quart:
    app = create_http_app(
        "identity",
        deps.health,
        verifier=deps.verifier,
        trusted_proxies=deps.trusted_proxies,
        api_pages=deps.api_pages,
    )
    app.register_blueprint(_account_routes(deps.service, deps.limits))
    app.register_blueprint(_session_routes(deps.service, deps.limits))
    return app


def _account_routes(service: IdentityService, limits: RouteLimits) -> Blueprint:
    routes = Blueprint("accounts", __name__)

    @routes.post("/register")
    @public
    @rate_limit(limits.register, MINUTE)
    @tag(["accounts"])
    @documented_problems(400, 409, 413, 415, 422, 429, 503)
    @validate_request(RegisterBody)
    @validate_response(SessionBody, 201)
    async def register(data: RegisterBody) -> tuple[SessionBody, int]:
        """Open an account and log it in."""
        work = service.register(
            email=data.email, password=data.password.get_secret_value(), name=data.name, origin=_origin()
        )
        return SessionBody.of(await run_to_completion(work)), 201

    @routes.get("/me")
    @rate_limit(limits.read, MINUTE, _account_key)
    @tag(["accounts"])
    @documented_problems(401, 403, 429, 503)
    @security_scheme([{"bearer": []}])
    @validate_response(UserBody)
    @authenticated(PROFILE_SCOPE)
    async def me() -> UserBody:
        """The account that the access token speaks for."""
        return UserBody.of(await service.find_user(principal().subject))

    return routes


def _session_routes(service: IdentityService, limits: RouteLimits) -> Blueprint:
    routes = Blueprint("sessions", __name__)

    @routes.post("/login")
    @public
    @rate_limit(limits.login, MINUTE)
    @tag(["sessions"])
    @documented_problems(400, 401, 413, 415, 422, 429, 503)
    @validate_request(LoginBody)
    @validate_response(SessionBody)
    async def login(data: LoginBody) -> SessionBody:
        """Trade e-mail and password for a session."""
        work = service.log_in(email=data.email, password=data.password.get_secret_value(), origin=_origin())
        return SessionBody.of(await run_to_completion(work))

    @routes.post("/refresh")
    @public
    @rate_limit(limits.refresh, MINUTE)
    @tag(["sessions"])
    @documented_problems(400, 401, 413, 415, 422, 429, 503)
    @validate_request(RefreshBody)
    @validate_response(SessionBody)
    async def refresh(data: RefreshBody) -> SessionBody:
        """Trade a refresh token, once, for a new session."""
        work = service.refresh(data.refresh_token.get_secret_value(), _origin())
        return SessionBody.of(await run_to_completion(work))

    @routes.post("/logout")
    @public
    @rate_limit(limits.refresh, MINUTE)
    @tag(["sessions"])
    @documented_as_empty(204)
    @documented_problems(400, 413, 415, 422, 429, 503)
    @validate_request(RefreshBody)
    async def logout(data: RefreshBody) -> tuple[str, int]:
        """End the login that a refresh token belongs to."""
        await run_to_completion(service.log_out(data.refresh_token.get_secret_value(), _origin()))
        return "", 204

    return routes


def _origin() -> Origin:
    return make_origin(client_address(), request.headers.get("User-Agent", ""))


async def _account_key() -> str:
    """Whose reads are counted: the account's, for the gateway asks on behalf of everyone from one address."""
    verifier: TokenVerifier = current_app.config["TOKEN_VERIFIER"]
    try:
        return f"account:{verifier.verify(bearer_token(request.headers.get('Authorization'))).subject}"
    except Unauthorized:
        return f"address:{client_address()}"
