"""Errors over gRPC: what one side raises, the other side raises again."""

from __future__ import annotations

import pytest
from google.protobuf.duration_pb2 import Duration
from grpclib.const import Status
from grpclib.encoding.proto import ProtoStatusDetailsCodec
from grpclib.exceptions import GRPCError, StreamTerminatedError

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
from services.defaults.grpc_errors import from_grpc_error, to_grpc_error


def over_the_wire(error: AppError) -> AppError:
    sent = to_grpc_error(error)
    codec = ProtoStatusDetailsCodec()
    details = codec.decode(sent.status, sent.message, codec.encode(sent.status, sent.message, sent.details))
    return from_grpc_error(GRPCError(sent.status, sent.message, details))


@pytest.mark.parametrize(
    "kind", [Invalid, Unauthorized, Forbidden, NotFound, Conflict, RateLimited, Unavailable, AppError]
)
def test_every_class_of_the_tree_survives(kind: type[AppError]) -> None:
    received = over_the_wire(kind("Because."))
    assert type(received) is kind
    assert (received.message, received.code, received.status) == (
        "Because.",
        kind.default_code,
        kind.default_status,
    )
    assert received.retry_after_s is None


def test_code_fields_and_delay_survive() -> None:
    error = Conflict(
        "Nur noch 2 Plätze.", code="SOLD_OUT", fields={"lines.0.quantity": "Zu viele."}, retry_after_s=1.25
    )
    received = over_the_wire(error)
    assert received.message == "Nur noch 2 Plätze."
    assert received.code == "SOLD_OUT"
    assert received.fields == {"lines.0.quantity": "Zu viele."}
    assert received.retry_after_s == 1.25


def test_a_class_below_one_of_the_tree_travels_as_that_one() -> None:
    class SoldOut(Conflict):
        default_code = "SOLD_OUT"

    received = over_the_wire(SoldOut("Gone."))
    assert type(received) is Conflict
    assert received.code == "SOLD_OUT"


@pytest.mark.parametrize(
    ("failure", "kind"),
    [
        (GRPCError(Status.UNKNOWN, "secret insides"), AppError),
        (GRPCError(Status.INTERNAL, "secret insides", []), AppError),
        (GRPCError(Status.NOT_FOUND, "secret insides", [Duration()]), NotFound),
        (GRPCError(Status.DEADLINE_EXCEEDED, "secret insides"), Unavailable),
        (StreamTerminatedError("secret insides"), Unavailable),
        (ConnectionRefusedError("secret insides"), Unavailable),
        (TimeoutError("secret insides"), Unavailable),
    ],
    ids=lambda value: value.__class__.__name__ if isinstance(value, BaseException) else None,
)
def test_what_has_no_details_of_ours_tells_nothing_of_the_other_side(
    failure: BaseException, kind: type[AppError]
) -> None:
    received = from_grpc_error(failure)
    assert type(received) is kind
    assert "secret" not in received.message
