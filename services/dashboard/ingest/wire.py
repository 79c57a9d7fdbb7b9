"""Taking an OTLP request apart without parsing it whole.

Two bytes can stand for a span that takes two hundred in memory: a request of the allowed size could need a
gigabyte, and hold the interpreter for seconds. So its three levels, which all signals have alike (resource, scope,
item), are walked here by Protobuf's wire format (https://protobuf.dev/programming-guides/encoding/), and each item
is parsed by itself, when its turn comes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, TypeVar

from google.protobuf.message import DecodeError, Message
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from services.dashboard.ingest.encodings import Malformed, TooLarge

M = TypeVar("M", bound=Message)

MAX_PARTS: Final = 100_000  # resources, scopes and items of one request, and what else stands beside them
MAX_ITEM_BYTES: Final = 1_048_576
OWNER, PARTS = 1, 2  # the fields: a request's parts are its first, those of a resource and a scope their second
VARINT, FIXED64, LENGTH, FIXED32 = 0, 1, 2, 5
MAX_VARINT_BYTES: Final = 10

Place = tuple[int, int]
"""Where something begins and ends in the body."""


@dataclass(frozen=True)
class Group:
    """The items of one scope of one resource, unparsed."""

    resource: Resource
    scope: InstrumentationScope
    items: Sequence[bytes]


def groups(body: bytes) -> Iterator[Group]:
    """The groups of a request of any signal; raises `Malformed` and `TooLarge`."""
    walk = _Walk(body)
    for number, resource_place in walk.fields((0, len(body))):
        if number != OWNER:
            continue
        owner, scopes = walk.owned(resource_place)
        resource = parse_part(Resource, owner)
        for scope_place in scopes:
            scope, items = walk.owned(scope_place)
            yield Group(resource, parse_part(InstrumentationScope, scope), [body[start:end] for start, end in items])


def parse_part(kind: type[M], body: bytes) -> M:
    """Raises `Malformed`, and `TooLarge` for more than MAX_ITEM_BYTES."""
    _check_size(len(body))
    try:
        return kind.FromString(body)
    except DecodeError as error:
        raise _malformed() from error


class _Walk:
    """One walk through a body; counts its parts."""

    def __init__(self, body: bytes) -> None:
        self._body = body
        self._parts = 0

    def owned(self, place: Place) -> tuple[bytes, list[Place]]:
        """Whose the parts in this message are (several pieces are one, as Protobuf has it), and their places."""
        pieces: list[bytes] = []
        size = 0
        parts: list[Place] = []
        for number, (start, end) in self.fields(place):
            if number == OWNER:
                size += end - start
                _check_size(size)
                pieces.append(self._body[start:end])
            elif number == PARTS:
                parts.append((start, end))
        return b"".join(pieces), parts

    def fields(self, place: Place) -> Iterator[tuple[int, Place]]:
        """Number and content of each field that has a length; the others count, too, for they take as long."""
        at, end = place
        while at < end:
            self._count()
            tag, at = self._varint(at, end)
            kind = tag & 7
            if kind == LENGTH:
                length, at = self._varint(at, end)
                if length > end - at:
                    raise _malformed()
                yield tag >> 3, (at, at + length)
                at += length
            elif kind == VARINT:
                _, at = self._varint(at, end)
            elif kind in (FIXED64, FIXED32):
                at += 8 if kind == FIXED64 else 4
            else:
                raise _malformed()
        if at != end:
            raise _malformed()

    def _varint(self, at: int, end: int) -> tuple[int, int]:
        """The number that begins at `at`, and where it ends."""
        value = shift = 0
        for here in range(at, min(end, at + MAX_VARINT_BYTES)):
            byte = self._body[here]
            value |= (byte & 0x7F) << shift
            if byte < 0x80:
                return value, here + 1
            shift += 7
        raise _malformed()

    def _count(self) -> None:
        self._parts += 1
        if self._parts > MAX_PARTS:
            raise TooLarge(f"At most {MAX_PARTS} resources, scopes, items and other fields in one request.")


def _check_size(size: int) -> None:
    if size > MAX_ITEM_BYTES:
        raise TooLarge(f"At most {MAX_ITEM_BYTES} bytes a resource, scope or item.")


def _malformed() -> Malformed:
    return Malformed("The body is not the Protobuf message that belongs here.")
