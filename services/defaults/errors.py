"""The errors of TicketFlow, and their one mapping to HTTP.

    AppError
    ├── Invalid        422  INVALID           what was sent cannot be accepted; `fields` says where
    ├── Unauthorized   401  UNAUTHENTICATED   no token, or not a good one
    ├── Forbidden      403  FORBIDDEN         known, and not allowed
    ├── NotFound       404  NOT_FOUND         not there, or not theirs
    ├── Conflict       409  CONFLICT          it clashes with what is already so
    ├── RateLimited    429  RATE_LIMITED      too many; `retry_after_s` says when again
    └── Unavailable    503  UNAVAILABLE       a part we need is away; trying later is right

`code` is stable and meant for programs, `message` is a sentence meant for people. A raiser may give a
narrower code (`Conflict("…", code="SOLD_OUT")`); the class still decides how transports treat it.
"""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, ClassVar


class AppError(Exception):
    """Something went wrong that the caller can be told about.

    `fields` maps the name of an input field to a sentence about it. `retry_after_s` is in seconds.
    """

    default_code: ClassVar[str] = "INTERNAL"
    default_status: ClassVar[int] = 500

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        status: int | None = None,
        fields: Mapping[str, str] | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.code = code or self.default_code
        self.status = status or self.default_status
        self.fields = dict(fields or {})
        self.retry_after_s = retry_after_s


class Invalid(AppError):
    default_code = "INVALID"
    default_status = 422


class Unauthorized(AppError):
    default_code = "UNAUTHENTICATED"
    default_status = 401


class Forbidden(AppError):
    default_code = "FORBIDDEN"
    default_status = 403


class NotFound(AppError):
    default_code = "NOT_FOUND"
    default_status = 404


class Conflict(AppError):
    default_code = "CONFLICT"
    default_status = 409


class RateLimited(AppError):
    default_code = "RATE_LIMITED"
    default_status = 429


class Unavailable(AppError):
    default_code = "UNAVAILABLE"
    default_status = 503


_BY_STATUS: dict[int, type[AppError]] = {
    400: Invalid,
    401: Unauthorized,
    402: Conflict,
    403: Forbidden,
    404: NotFound,
    409: Conflict,
    413: Invalid,
    415: Invalid,
    422: Invalid,
    429: RateLimited,
    502: Unavailable,
    503: Unavailable,
    504: Unavailable,
}


def error_class(status: int) -> type[AppError]:
    """The class that stands for an HTTP status; any other 4xx counts as `Invalid`, the rest as `AppError`."""
    return _BY_STATUS.get(status, Invalid if 400 <= status < 500 else AppError)


def to_problem(error: AppError, *, trace_id: str = "") -> dict[str, Any]:
    """The body of an error answer as RFC 9457 has it, with our `code`, `fields` and `traceId` added."""
    problem: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(error.status).phrase,
        "status": error.status,
        "detail": error.message,
        "code": error.code,
    }
    if error.fields:
        problem["fields"] = error.fields
    if trace_id:
        problem["traceId"] = trace_id
    return problem


def from_problem(status: int, body: Any, *, retry_after_s: float | None = None) -> AppError:
    """Reads another service's error answer back into the tree.

    A body that is no problem document still gives the right class, with a sentence that tells nothing
    of the other side's insides.
    """
    kind = error_class(status)
    if not isinstance(body, Mapping) or not isinstance(body.get("detail"), str):
        return kind("The request could not be completed.", status=status, retry_after_s=retry_after_s)
    fields = body.get("fields")
    return kind(
        body["detail"],
        code=str(body.get("code") or kind.default_code),
        status=status,
        fields={str(k): str(v) for k, v in fields.items()} if isinstance(fields, Mapping) else None,
        retry_after_s=retry_after_s,
    )
