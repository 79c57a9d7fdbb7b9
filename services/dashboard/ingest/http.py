"""OTLP over HTTP: https://opentelemetry.io/docs/specs/otlp/#otlphttp."""

from __future__ import annotations

import math
from collections.abc import Awaitable, Callable
from typing import Any, Final

from google.protobuf.json_format import MessageToJson
from google.protobuf.message import Message
from google.rpc.status_pb2 import Status  # type: ignore[import-untyped]  # it ships no py.typed
from grpclib.const import Status as Code
from quart import Quart, Response, request
from quart_rate_limiter import rate_exempt
from werkzeug.exceptions import HTTPException

from services.dashboard.ingest.encodings import Encoding
from services.dashboard.ingest.intake import SIGNALS, Intake, Signal
from services.dashboard.token import Access, guard
from services.defaults.errors import AppError, Invalid, error_class
from services.defaults.health import Health
from services.defaults.http import create_http_app

PROTOBUF: Final = "application/x-protobuf"
JSON: Final = "application/json"
REFUSED: Final = "dashboard.refused"  # the mark of a request whose body was not read
ENCODINGS: Final = frozenset({"", "identity", "gzip"})
# google.rpc's codes of the answers; clients go by the HTTP status.
CODES: Final = {
    400: Code.INVALID_ARGUMENT,
    401: Code.UNAUTHENTICATED,
    403: Code.PERMISSION_DENIED,
    408: Code.DEADLINE_EXCEEDED,
    413: Code.INVALID_ARGUMENT,
    415: Code.INVALID_ARGUMENT,
    503: Code.UNAVAILABLE,
}


def create_otlp_app(intake: Intake, access: Access, health: Health) -> Quart:
    """The receiver. Whoever posts to it hears once what was sent is kept."""
    app = create_http_app("otlp", health, max_body_bytes=intake.max_body_bytes, api_pages=False)
    app.register_error_handler(AppError, _on_app_error)
    app.register_error_handler(HTTPException, _on_http_error)
    guard(app, access, pages=False)
    for signal in SIGNALS:
        view = _export(intake, signal)
        app.add_url_rule(signal.path, signal.kind, view, methods=["POST"], provide_automatic_options=False)
    app.asgi_app = Admission(app.asgi_app, intake, access)  # type: ignore[method-assign] # Quart's own way to wrap
    return app


class Admission:
    """Sees to it that bodies under way hold no more memory than there is for them: Quart reads a body as it
    comes, before anybody has asked for it. What there is no room for is dropped as it arrives, and refused; so is
    what comes without the token, which takes up no room.
    """

    def __init__(self, app: Any, intake: Intake, access: Access) -> None:
        self._app = app
        self._intake = intake
        self._access = access

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] != "http" or scope["method"] != "POST":
            await self._app(scope, receive, send)
            return
        if not self._access.admits_bearer(_header(scope, b"authorization")):
            await self._app(scope, _dropping(receive), send)
            return
        with self._intake.budget.held(self._size(scope)) as granted:
            if granted:
                await self._app(scope, receive, send)
            else:
                await self._app({**scope, REFUSED: True}, _dropping(receive), send)

    def _size(self, scope: Any) -> int:
        """As much as the body may come to."""
        announced, most = _header(scope, b"content-length"), self._intake.max_body_bytes
        return min(int(announced), most) if announced.isdecimal() and len(announced) < 12 else most


def _header(scope: Any, name: bytes) -> str:
    return next((value.decode("latin-1") for key, value in scope["headers"] if key == name), "")


def _dropping(receive: Callable[[], Awaitable[Any]]) -> Callable[[], Awaitable[Any]]:
    async def receive_nothing() -> Any:
        message = await receive()
        return {**message, "body": b""} if message["type"] == "http.request" else message

    return receive_nothing


def _export(intake: Intake, signal: Signal) -> Callable[[], Awaitable[Response]]:
    async def export() -> Response:
        if REFUSED in request.scope:
            intake.refuse()
        encoding = _encoding()
        body = await request.get_data(cache=False, as_text=False, parse_form_data=False)
        return _response(await intake.take(signal, body, encoding), 200)

    export.__authorization__ = "token"  # type: ignore[attr-defined] # the mark that the route tests look for
    return rate_exempt(export)


def _encoding() -> Encoding:
    """Raises `Invalid` with 415 where the body is written in a way that is not understood here."""
    content_type, content_encoding = request.mimetype, request.headers.get("Content-Encoding", "").strip().lower()
    if content_type not in (PROTOBUF, JSON):
        raise Invalid(f"Send {PROTOBUF} or {JSON}.", status=415)
    if content_encoding not in ENCODINGS:
        raise Invalid("Send it as it is, or as gzip.", status=415)
    return Encoding(json=content_type == JSON, gzip=content_encoding == "gzip")


async def _on_app_error(error: AppError) -> Response:
    code = CODES.get(error.status, Code.UNKNOWN)
    response = _response(Status(code=code.value, message=error.message), error.status)
    if error.retry_after_s is not None:
        response.headers["Retry-After"] = str(math.ceil(error.retry_after_s))
    return response


async def _on_http_error(error: HTTPException) -> Response:
    status = error.code or 500
    response = await _on_app_error(error_class(status)(error.description or error.name, status=status))
    for name, value in error.get_headers():
        if name == "Allow":
            response.headers[name] = value
    return response


def _response(message: Message, status: int) -> Response:
    """In the encoding of the request, as the specification asks."""
    if request.mimetype == JSON:
        return Response(MessageToJson(message, indent=None), status, content_type=JSON)
    return Response(message.SerializeToString(), status, content_type=PROTOBUF)
