"""From the bytes of a request to those of an OTLP message, within bounds."""

from __future__ import annotations

import base64
import binascii
import json
import zlib
from dataclasses import dataclass
from typing import Any, Final

from google.protobuf.json_format import ParseDict, ParseError
from google.protobuf.message import Message

from services.defaults.errors import Invalid

GZIP_WINDOW: Final = 31  # zlib's sign for a gzip header and trailer
# Trace and span ids are hexadecimal in OTLP's JSON, not base64 as in Protobuf's
# (https://opentelemetry.io/docs/specs/otlp/#json-protobuf-encoding).
ID_KEYS: Final = frozenset({"traceId", "spanId", "parentSpanId", "trace_id", "span_id", "parent_span_id"})
# Python's objects for a piece of JSON take some ten times its length, and Protobuf's reader of JSON some 20 µs each.
JSON_SHARE: Final = 4
MAX_JSON_PARTS: Final = 200_000


class Malformed(Invalid):
    """What was sent cannot be read."""

    default_code = "MALFORMED"
    default_status = 400


class TooLarge(Invalid):
    """What was sent is larger than what is taken."""

    default_code = "TOO_LARGE"
    default_status = 413


@dataclass(frozen=True)
class Encoding:
    """How a body is written."""

    json: bool = False
    gzip: bool = False


def to_protobuf(body: bytes, encoding: Encoding, kind: type[Message], *, max_bytes: int) -> bytes:
    """The body as the Protobuf message that it stands for, which is not looked into.

    `max_bytes` bounds what it may inflate to; of JSON, a quarter of that is taken. Raises `Malformed`, `TooLarge`.
    """
    limit = max_bytes // JSON_SHARE if encoding.json else max_bytes
    plain = inflate(body, limit) if encoding.gzip else body
    if len(plain) > limit:
        raise TooLarge(f"At most {limit} bytes a request.")
    return _parse_json(plain, kind).SerializeToString() if encoding.json else plain


def inflate(body: bytes, max_bytes: int) -> bytes:
    """Undoes gzip (RFC 1952, of one member); stops where it becomes more than `max_bytes`."""
    inflater = zlib.decompressobj(GZIP_WINDOW)
    try:
        plain = inflater.decompress(body, max_bytes + 1)
    except zlib.error as error:
        raise Malformed("The body is not what gzip makes.") from error
    if len(plain) > max_bytes:
        raise TooLarge(f"At most {max_bytes} bytes a request, once inflated.")
    if not inflater.eof or inflater.unused_data:
        raise Malformed("The body is not one whole gzip file.")
    return plain


def _parse_json(body: bytes, kind: type[Message]) -> Message:
    if body.count(b"{") + body.count(b"[") + body.count(b",") > MAX_JSON_PARTS:
        raise TooLarge(f"At most {MAX_JSON_PARTS} values in one request of JSON. Send Protobuf.")
    message = kind()
    try:
        read = json.loads(body)
        if not isinstance(read, dict):
            raise TypeError("an object is needed")
        ParseDict(_translate(read), message, ignore_unknown_fields=True)
    except (ParseError, ValueError, TypeError, AttributeError, RecursionError, OverflowError) as error:
        # Protobuf's reader takes the shape of what it reads for granted in places, and stumbles in many ways.
        raise Malformed("The body is not the JSON message that belongs here.") from error
    return message


def _translate(value: Any) -> Any:
    """OTLP's JSON as Protobuf's, with characters that can be encoded only."""
    if isinstance(value, dict):
        return {_text(key): _translate_id(each) if key in ID_KEYS else _translate(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_translate(each) for each in value]
    return _text(value) if isinstance(value, str) else value


def _translate_id(value: Any) -> Any:
    if not isinstance(value, str):
        return value
    try:
        return base64.b64encode(binascii.unhexlify(value)).decode()
    except ValueError:
        return ""  # no id at all: the span is rejected, the rest is kept


def _text(value: str) -> str:
    """Without lone surrogates, which JSON can spell and UTF-8 cannot."""
    return value if value.isascii() else value.encode("utf-8", "replace").decode()
