"""Taking requests apart by the wire format: as Protobuf itself does, and within bounds."""

from __future__ import annotations

import pytest
from google.protobuf.message import DecodeError
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.common.v1.common_pb2 import InstrumentationScope
from opentelemetry.proto.resource.v1.resource_pb2 import Resource
from opentelemetry.proto.trace.v1.trace_pb2 import ResourceSpans, ScopeSpans, Span

from services.dashboard.ingest.encodings import Malformed, TooLarge
from services.dashboard.ingest.wire import MAX_ITEM_BYTES, MAX_PARTS, groups
from tests.dashboard.support import pairs, resource, span, spans

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
SCOPES = st.builds(
    lambda name, url, names: ScopeSpans(
        scope=InstrumentationScope(name=name) if name else None, schema_url=url, spans=[Span(name=n) for n in names]
    ),
    NAMES,
    NAMES,
    st.lists(NAMES, max_size=4),
)
RESOURCES = st.builds(
    lambda name, scopes: ResourceSpans(
        resource=Resource(attributes=pairs(name=name)) if name else None, scope_spans=scopes
    ),
    NAMES,
    st.lists(SCOPES, max_size=3),
)
REQUESTS = st.builds(lambda sent: ExportTraceServiceRequest(resource_spans=sent), st.lists(RESOURCES, max_size=3))


@given(REQUESTS)
def test_it_finds_what_protobuf_finds(request: ExportTraceServiceRequest) -> None:
    expected = [
        (sent.resource, scope.scope, list(scope.spans)) for sent in request.resource_spans for scope in sent.scope_spans
    ]
    found = groups(request.SerializeToString())
    assert [(g.resource, g.scope, [Span.FromString(item) for item in g.items]) for g in found] == expected


@given(st.binary(max_size=60))
def test_what_protobuf_reads_it_reads_too(body: bytes) -> None:
    try:
        request = ExportTraceServiceRequest.FromString(body)
    except DecodeError:
        return
    count = sum(len(scope.spans) for sent in request.resource_spans for scope in sent.scope_spans)
    try:
        assert sum(len(group.items) for group in groups(body)) == count
    except Malformed:
        assert any(byte & 7 in (3, 4) for byte in body)  # groups, which Protobuf passes over still


def test_a_resource_may_come_after_what_it_sent_and_in_pieces() -> None:
    scope = ScopeSpans(spans=[span(1)]).SerializeToString()
    one, other = (
        Resource(attributes=pairs(a=1)).SerializeToString(),
        Resource(attributes=pairs(b=2)).SerializeToString(),
    )
    sent = (
        b"\x12" + bytes([len(scope)]) + scope + b"".join(b"\x0a" + bytes([len(each)]) + each for each in (one, other))
    )
    (group,) = groups(b"\x0a" + bytes([len(sent)]) + sent)
    assert group.resource == Resource(attributes=pairs(a=1, b=2))


@pytest.mark.parametrize(
    "body",
    [
        b"\x0a",  # no length
        b"\x0a\x05abc",  # shorter than it says
        b"\x0a\x02\x12\x7f",  # inside, too
        b"\x0b\x0c",  # groups, which went out of use before OTLP
        b"\x0d\x01",  # half a number
        b"\x08" + b"\xff" * 11,  # a number without end
        b"\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01",  # a length beyond all
    ],
)
def test_what_is_no_message_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        list(groups(body))


@pytest.mark.parametrize("empty", [b"\x0a\x00", b"\x0a\x02\x12\x00", b"\x0a\x04\x12\x02\x12\x00"])
def test_very_many_parts_are_refused_without_being_made(empty: bytes) -> None:
    with pytest.raises(TooLarge):
        list(groups(empty * (MAX_PARTS + 1)))


def test_a_scope_of_very_many_empty_items_is_refused() -> None:
    scope = b"\x12\x00" * (MAX_PARTS + 1)
    length = len(scope)
    prefix = b"\x12" + bytes([length & 127 | 128, length >> 7 & 127 | 128, length >> 14])
    inner = prefix + scope
    size = len(inner)
    with pytest.raises(TooLarge):
        list(groups(b"\x0a" + bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14]) + inner))


@pytest.mark.parametrize("field", [b"\x18\x01", b"\x1d\0\0\0\0", b"\x19\0\0\0\0\0\0\0\0", b"\x1a\x00"])
def test_very_many_fields_that_are_no_parts_are_refused_too(field: bytes) -> None:
    with pytest.raises(TooLarge):
        list(groups(field * (MAX_PARTS + 1)))


def test_a_resource_in_pieces_is_refused_as_soon_as_it_is_too_large() -> None:
    piece = b"\x0a\x80\x80\x20" + bytes(MAX_ITEM_BYTES // 2)
    sent = piece * 3 + b"\x0b"  # malformed, but so far nobody reads
    size = len(sent)
    with pytest.raises(TooLarge):
        list(groups(b"\x0a" + bytes([size & 127 | 128, size >> 7 & 127 | 128, size >> 14]) + sent))


def test_a_resource_larger_than_any_is_refused() -> None:
    request = spans(span(1))
    request.resource_spans[0].resource.CopyFrom(resource("x" * MAX_ITEM_BYTES))
    with pytest.raises(TooLarge):
        list(groups(request.SerializeToString()))


def test_fields_that_are_not_known_yet_are_passed_over() -> None:
    request = spans(span(1)).SerializeToString()
    unknown = (
        b"\xa0\x06\x01" + b"\xa5\x06abcd" + b"\xa1\x06abcdefgh" + b"\xa2\x06\x03abc"
    )  # the field 100, of each kind
    (group,) = groups(unknown + request + unknown)
    assert len(group.items) == 1
