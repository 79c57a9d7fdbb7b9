"""Who sent what, and how much of it is taken."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from hashlib import blake2b
from typing import Any, Concatenate, Final, ParamSpec, TypeVar

from google.protobuf.message import Message
from opentelemetry.proto.resource.v1.resource_pb2 import Resource

from services.dashboard.ingest.mending import MAX_NAME_CHARS, Mender, to_json
from services.dashboard.ingest.wire import MAX_ITEM_BYTES, Group, parse_part
from services.dashboard.store.batches import SourceRow

MAX_ROWS: Final = 10_000  # a request; the SDKs send 512 spans at a time, a collector 8,192
DIGEST_BYTES: Final = 16
UNKNOWN: Final = "unknown_service"  # what the specification calls a resource without a name

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")
M = TypeVar("M", bound=Message)


class Sources:
    """The sources of one batch, by digest. What a resource says is written out once for all of its scopes: it may be
    half a megabyte, and they tens of thousands.
    """

    def __init__(self, mender: Mender) -> None:
        self.rows: dict[bytes, SourceRow] = {}
        self._mender = mender
        self._resource: Resource | None = None

    def add(self, group: Group) -> tuple[bytes, str]:
        """The digest of a group's source, and the name of its service."""
        row = self.row(group)
        key = digest(self._resource_key, row.scope, row.scope_version)
        if group.items:
            self.rows[key] = row
        return key, row.service

    def row(self, group: Group) -> SourceRow:
        """The source as it is kept."""
        if group.resource is not self._resource:
            self._read(group.resource)
        return self._row._replace(
            scope=self._mender.text(group.scope.name, MAX_NAME_CHARS),
            scope_version=self._mender.text(group.scope.version, MAX_NAME_CHARS),
        )

    def _read(self, resource: Resource) -> None:
        attributes = self._mender.attributes(resource.attributes)

        def named(key: str) -> str:
            return self._mender.text(str(attributes.get(key) or ""), MAX_NAME_CHARS)

        self._resource = resource
        self._row = SourceRow(
            service=named("service.name") or UNKNOWN,
            instance=named("service.instance.id"),
            version=named("service.version"),
            resource=to_json(attributes),
            scope="",
            scope_version="",
        )
        self._resource_key = digest(self._row.resource).hex()


class Tally:
    """Counts what of a request is not taken, and what only in part. For one batch."""

    def __init__(self, mender: Mender) -> None:
        self.rejected = 0
        self.shortened = 0
        self.reason = ""
        self._mender = mender
        self._room = MAX_ROWS

    def parsed(self, kind: type[M], items: Sequence[bytes]) -> Iterator[M]:
        """The items one after the other; one too large is rejected. Raises `Malformed`."""
        for item in items:
            if len(item) > MAX_ITEM_BYTES:
                self.reject(f"at most {MAX_ITEM_BYTES} bytes each")
            else:
                yield parse_part(kind, item)

    def admitted(self, items: Sequence[T]) -> Sequence[T]:
        """The items for which there is room; the rest is rejected."""
        taken = items[: self._room]
        self._room -= len(taken)
        if len(taken) < len(items):
            self.reject(f"at most {MAX_ROWS} in one request", len(items) - len(taken))
        return taken

    def reject(self, reason: str, count: int = 1) -> None:
        """Counts what is not taken; the first reason is told to the sender."""
        self.rejected += count
        self.reason = self.reason or reason

    def counted(self, convert: Callable[Concatenate[T, P], R], item: T, *args: P.args, **kwargs: P.kwargs) -> R:
        """Converts an item, and counts it as shortened where the mender had to cut."""
        cuts = self._mender.cuts
        row = convert(item, *args, **kwargs)
        self.shortened += self._mender.cuts > cuts
        return row


def digest(*parts: Any) -> bytes:
    """Short and, for whatever is sent, unlikely to be another's."""
    return blake2b(to_json(parts).encode(), digest_size=DIGEST_BYTES).digest()
