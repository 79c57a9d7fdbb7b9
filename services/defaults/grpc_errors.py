"""The errors of TicketFlow on gRPC: the status says the class, `google.rpc` details carry the rest.

`ErrorInfo` (https://google.aip.dev/193) holds the code as its reason and the sentences about fields as its
metadata; `RetryInfo` holds when to come again.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import Any, Final

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import (  # type: ignore[import-untyped]  # it ships no py.typed
    ErrorInfo,
    RetryInfo,
)
from grpclib.const import Status
from grpclib.exceptions import GRPCError

from services.defaults.errors import (
    AppError,
    Conflict,
    Forbidden,
    Invalid,
    NotFound,
    RateLimited,
    Unauthorized,
    Unavailable,
)

ERROR_DOMAIN: Final = "ticketflow.test"

_STATUS: Final[dict[type[AppError], Status]] = {
    Invalid: Status.INVALID_ARGUMENT,
    Unauthorized: Status.UNAUTHENTICATED,
    Forbidden: Status.PERMISSION_DENIED,
    NotFound: Status.NOT_FOUND,
    # Not ABORTED: that one invites the caller to try again, and a sold-out concert stays sold out.
    Conflict: Status.FAILED_PRECONDITION,
    RateLimited: Status.RESOURCE_EXHAUSTED,
    Unavailable: Status.UNAVAILABLE,
}
_CLASS: Final[dict[Status, type[AppError]]] = {
    **{status: kind for kind, status in _STATUS.items()},
    Status.ABORTED: Conflict,
    Status.ALREADY_EXISTS: Conflict,
    Status.OUT_OF_RANGE: Invalid,
    Status.CANCELLED: Unavailable,
    Status.DEADLINE_EXCEEDED: Unavailable,
}


def to_grpc_error(error: AppError) -> GRPCError:
    """The status and details that stand for `error`; one outside the tree's classes is INTERNAL."""
    kinds = (kind for kind in type(error).__mro__ if kind in _STATUS)
    status = next((_STATUS[kind] for kind in kinds), Status.INTERNAL)
    details: list[Message] = [ErrorInfo(reason=error.code, domain=ERROR_DOMAIN, metadata=error.fields)]
    if error.retry_after_s is not None:
        details.append(RetryInfo(retry_delay=_duration(error.retry_after_s)))
    return GRPCError(status, error.message, details)


def from_grpc_error(failure: BaseException) -> AppError:
    """Reads what a call raised (`GRPCError`, `StreamTerminatedError` or `OSError`) back into the tree.

    An answer without our details tells nothing of the other side's insides; a lost, refused or timed-out
    call is `Unavailable`.
    """
    if not isinstance(failure, GRPCError):
        return Unavailable("The service could not be reached. Please try again in a moment.")
    kind = _CLASS.get(failure.status, AppError)
    info = _detail(failure.details, ErrorInfo)
    retry = _detail(failure.details, RetryInfo)
    retry_after_s = None if retry is None else retry.retry_delay.ToTimedelta().total_seconds()
    if info is None or info.domain != ERROR_DOMAIN:
        return kind("The request could not be completed.", retry_after_s=retry_after_s)
    return kind(
        failure.message or "The request could not be completed.",
        code=info.reason or None,
        fields=dict(info.metadata),
        retry_after_s=retry_after_s,
    )


def _detail(details: Iterable[Any] | None, kind: type[Any]) -> Any:
    return next((detail for detail in details or () if isinstance(detail, kind)), None)


def _duration(seconds: float) -> Duration:
    fraction, whole = math.modf(seconds)
    return Duration(seconds=int(whole), nanos=int(fraction * 1e9))
