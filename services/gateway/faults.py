"""Errors as GraphQL shows them: a sentence, a stable code, and nothing of our insides."""

from __future__ import annotations

import logging
import re
from math import ceil
from typing import Any, Final

from tartiflette.types.exceptions.tartiflette import CoercionError, TartifletteError

from services.defaults.errors import AppError, Invalid
from services.defaults.telemetry import current_trace_id

logger = logging.getLogger(__name__)

MAX_MESSAGE_CHARS: Final = 300
CONTRACT_CODES: Final = frozenset(
    {
        "UNAUTHENTICATED",
        "FORBIDDEN",
        "NOT_FOUND",
        "INVALID",
        "CONFLICT",
        "SOLD_OUT",
        "PAYMENT_DECLINED",
        "RATE_LIMITED",
        "UNAVAILABLE",
        "QUERY_TOO_COMPLEX",
        "INTERNAL",
    }
)

# tartiflette repeats the value that does not fit, which may be a password or a card's number:
# `Variable < $x > got invalid value < … >; Expected type < String > at value.a; …: < … >.`
_VARIABLE_ECHO: Final = re.compile(r"got invalid value < .*? >; ([^;]*).*", re.DOTALL)
_LITERAL_ECHO: Final = re.compile(r"(?:got|has) invalid (?:default )?value < .*", re.DOTALL)


class RequestError(dict[str, Any]):
    """An entry of `errors` that is about the request: it does not parse, fit the schema or its variables."""


async def coerce_error(exception: Exception, error: dict[str, Any]) -> dict[str, Any]:
    """What the client is told of one error (https://spec.graphql.org/October2021/#sec-Errors)."""
    place = {name: error[name] for name in ("path", "locations") if error.get(name)}
    if _is_about_the_request(exception):
        return RequestError(to_graphql(Invalid(_without_echo(error["message"]))) | place)
    return to_graphql(_cause(exception)) | place


def to_graphql(error: AppError) -> dict[str, Any]:
    """An entry of `errors`, without its place in the query."""
    extensions: dict[str, Any] = {"code": _contract_code(error)}
    if error.fields:
        extensions["fields"] = error.fields
    if error.retry_after_s is not None:
        extensions["retryAfter"] = max(1, ceil(error.retry_after_s))
    if error.status >= 500 and (trace_id := current_trace_id()):
        extensions["traceId"] = trace_id
    return {"message": error.message, "extensions": extensions}


def _contract_code(error: AppError) -> str:
    """The services have finer codes among themselves; clients are promised these."""
    return error.code if error.code in CONTRACT_CODES else error.default_code


def _is_about_the_request(exception: Exception) -> bool:
    """Whether it is the engine's own complaint: what resolvers raise comes as the original of another.

    So does what a scalar says of a variable, but then the other is a `CoercionError`.
    """
    if isinstance(exception, CoercionError):
        return True
    return isinstance(exception, TartifletteError) and exception.original_error is None


def _cause(exception: Exception) -> AppError:
    original = getattr(exception, "original_error", None) or exception
    if isinstance(original, AppError):
        return original
    logger.error("unexpected error", exc_info=original)
    return AppError("Something went wrong on our side.")


def _without_echo(message: str) -> str:
    shown = _LITERAL_ECHO.sub("has an invalid value.", _VARIABLE_ECHO.sub(r"is not valid: \1.", message))
    return shown if len(shown) <= MAX_MESSAGE_CHARS else shown[:MAX_MESSAGE_CHARS] + "…"
