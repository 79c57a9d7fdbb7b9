"""Bytes of any kind: a message, or one of the two refusals that a sender is told of."""

from __future__ import annotations

import gzip
import json
import zlib
from typing import Any

import pytest
from google.protobuf.json_format import MessageToDict
from hypothesis import example, given, settings
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from services.dashboard.ingest.encodings import Encoding, Malformed, TooLarge, inflate, to_protobuf
from services.dashboard.ingest.intake import SIGNALS, Signal
from services.dashboard.store.batches import Batch
from tests.dashboard.support import NOW_NS, TRACE_ID, log, logs, metrics, span, spans

MAX_BYTES = 1_000_000
TRACES = SIGNALS[0]
SAMPLES = {
    "spans": spans(span(1, ticketflow__order__number="TF-1"), span(2, parent=1, error=True)),
    "logs": logs(log("placed", trace_id=TRACE_ID, order_id="x"), log("paid")),
    "points": metrics(),
}
SAMPLES["points"].resource_metrics[0].scope_metrics[0].metrics.add(name="m").sum.data_points.add(as_int=1)  # type: ignore[attr-defined] # the union of three requests


def read(signal: Signal, body: bytes, encoding: Encoding) -> Batch | Malformed | TooLarge:
    """What is read of a body, or in which of the two ways it is refused."""
    try:
        return signal.decode(to_protobuf(body, encoding, signal.request, max_bytes=MAX_BYTES), NOW_NS)
    except (Malformed, TooLarge) as refusal:
        return refusal


def mutated(valid: bytes) -> st.SearchStrategy[bytes]:
    """The message with a few bytes overwritten, cut out or repeated."""
    places = st.integers(0, len(valid))
    edits = st.lists(st.tuples(places, st.integers(0, 4), st.binary(max_size=4)), max_size=6)

    def edit(changes: list[tuple[int, int, bytes]]) -> bytes:
        body = valid
        for place, removed, added in changes:
            body = body[:place] + added + body[place + removed :]
        return body

    return edits.map(edit)


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)


@st.composite
def bent_json(draw: st.DrawFn, valid: dict[str, Any]) -> Any:
    """The message with any value in the place of one of its own."""
    message = json.loads(json.dumps(valid))
    at: Any = message
    while isinstance(at, dict | list) and at:
        key = draw(st.sampled_from(sorted(at) if isinstance(at, dict) else range(len(at))))
        if draw(st.integers(0, 3)) == 0 or not isinstance(at[key], dict | list):
            at[key] = draw(JSON_VALUES)
            break
        at = at[key]
    return message


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.kind)
@given(data=st.data(), as_json=st.booleans())
@settings(max_examples=150)
def test_no_bytes_break_the_receiver(signal: Signal, data: st.DataObject, as_json: bool) -> None:
    valid = SAMPLES[signal.kind].SerializeToString()
    body = data.draw(st.binary(max_size=200) | mutated(valid))
    plain = read(signal, body, Encoding(json=as_json))
    inflated = read(signal, gzip.compress(body), Encoding(json=as_json, gzip=True))
    assert type(plain) is type(inflated)
    assert isinstance(read(signal, body, Encoding(json=as_json, gzip=True)), Malformed)  # it is no gzip file


@pytest.mark.parametrize("signal", SIGNALS, ids=lambda signal: signal.kind)
@given(data=st.data())
@settings(max_examples=150)
def test_no_json_breaks_the_receiver(signal: Signal, data: st.DataObject) -> None:
    message = data.draw(bent_json(MessageToDict(SAMPLES[signal.kind])))
    assert isinstance(read(signal, json.dumps(message).encode(), Encoding(json=True)), Batch | Malformed)


@given(st.binary(max_size=100))
@example(gzip.compress(b"x") + gzip.compress(b"y"))
@example(gzip.compress(b"x" * 100)[:-3])
def test_what_is_not_one_whole_gzip_file_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        inflate(body, 1000)


def test_a_bomb_is_not_inflated_beyond_the_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    bomb = gzip.compress(b"\0" * 100_000_000)
    sizes: list[int] = []
    whole = zlib.decompressobj

    class Watched:
        def __init__(self, window: int) -> None:
            self._inflater = whole(window)

        def decompress(self, body: bytes, most: int) -> bytes:
            plain = self._inflater.decompress(body, most)
            sizes.append(len(plain))
            return plain

    monkeypatch.setattr(zlib, "decompressobj", Watched)
    with pytest.raises(TooLarge):
        inflate(bomb, 1000)
    assert sizes == [1001]


@pytest.mark.parametrize("as_json", [False, True])
def test_what_is_too_large_is_refused_before_it_is_parsed(as_json: bool) -> None:
    with pytest.raises(TooLarge):
        to_protobuf(b"{" * 1001, Encoding(json=as_json), ExportTraceServiceRequest, max_bytes=1000)


JSON_SPAN = {
    "resourceSpans": [
        {
            "resource": {"attributes": [{"key": "service.name", "value": {"stringValue": "web"}}]},
            "scopeSpans": [
                {
                    "spans": [
                        {
                            "traceId": "5B8EFFF798038103D269B633813FC60C",
                            "spanId": "EEE19B7EC3C1B174",
                            "name": "caf\u00e9 \U0001f600",
                            "kind": 2,
                            "startTimeUnixNano": "1544712660000000000",
                            "endTimeUnixNano": 1544712661000000000,
                            "status": {"code": 2},
                            "somethingNewer": {"a": [1]},
                        }
                    ]
                }
            ],
        }
    ]
}


def test_json_has_hexadecimal_ids_and_may_hold_what_is_not_known_yet() -> None:
    batch = read(TRACES, json.dumps(JSON_SPAN).encode(), Encoding(json=True))
    assert isinstance(batch, Batch)
    (row,) = batch.spans
    assert row.trace_id.hex() == "5b8efff798038103d269b633813fc60c"
    assert (row.name, row.kind, row.error, row.service) == ("caf\u00e9 \U0001f600", 2, True, "web")
    assert row.end_ns - row.start_ns == 1_000_000_000


@pytest.mark.parametrize("name", ["lone \\ud800 surrogate", "nul \\u0000"])
def test_json_may_spell_what_cannot_be_stored(name: str) -> None:
    text = json.dumps(JSON_SPAN).replace("caf\\u00e9", name)
    batch = read(TRACES, text.encode(), Encoding(json=True))
    assert isinstance(batch, Batch)
    assert batch.spans[0].name.encode()


@pytest.mark.parametrize("trace_id", ["xyz", "", "5b8e", 7, None])
def test_json_with_a_bad_id_loses_that_span_at_most(trace_id: Any) -> None:
    message = json.loads(json.dumps(JSON_SPAN))
    message["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceId"] = trace_id
    batch = read(TRACES, json.dumps(message).encode(), Encoding(json=True))
    assert isinstance(batch, Malformed) or (isinstance(batch, Batch) and batch.rejected == 1)


@pytest.mark.parametrize(
    "body", [b"", b"null", b"[]", b"7", b'"x"', b"[" * 100_000, b"\xff{}", b'{"resourceSpans": 7}']
)
def test_json_that_is_no_message_is_malformed(body: bytes) -> None:
    with pytest.raises(Malformed):
        to_protobuf(body, Encoding(json=True), ExportTraceServiceRequest, max_bytes=MAX_BYTES)


@pytest.mark.parametrize("piece", [b"{},", b"[],", b"0,"])
def test_json_of_very_many_values_is_refused_before_it_is_read(piece: bytes) -> None:
    body = b'{"resourceSpans":[' + piece * 200_001 + b"0]}"
    with pytest.raises(TooLarge):
        to_protobuf(body, Encoding(json=True), ExportTraceServiceRequest, max_bytes=100_000_000)
