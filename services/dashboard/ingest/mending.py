"""Making what strangers send fit to be kept: short enough, of sane times, in characters that can be stored."""

from __future__ import annotations

import base64
import json
import math
from collections.abc import Sequence
from typing import Any, Final, TypeVar

from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

T = TypeVar("T")

MAX_ATTRIBUTES: Final = 128
MAX_VALUE_CHARS: Final = 4_096
MAX_NAME_CHARS: Final = 512
MAX_ORDER_CHARS: Final = 100
MAX_DEPTH: Final = 8
FUTURE_NS: Final = 86_400_000_000_000  # clocks are apart, but not by more than a day
ELLIPSIS: Final = " … "
TAIL_CHARS: Final = 1_024  # of what is cut the end stays: a stack trace says there what happened

to_json: Final = json.JSONEncoder(ensure_ascii=False, separators=(",", ":"), check_circular=False).encode


class Mender:
    """Mends values, and counts in `cuts` what it had to leave out. For one batch."""

    def __init__(self, now_ns: int) -> None:
        self.cuts = 0
        self._now_ns = now_ns

    def text(self, value: str, limit: int = MAX_VALUE_CHARS) -> str:
        """Without NUL, at which SQLite's own functions end a text, and not longer than `limit`."""
        if len(value) > limit:
            value = self._cut(value, limit)
        return value.replace("\0", "\ufffd") if "\0" in value else value

    def moment(self, time_ns: int) -> int:
        """The time itself, or now where it is none or a long way ahead. Nanoseconds since the epoch."""
        if 0 < time_ns <= self._now_ns + FUTURE_NS:
            return time_ns
        self.cuts += time_ns != 0
        return self._now_ns

    def attributes(self, pairs: Sequence[KeyValue], *, value_chars: int = MAX_VALUE_CHARS) -> dict[str, Any]:
        """As JSON knows them; of a key that comes twice the last counts."""
        kept = self.first(pairs)
        return {self.text(pair.key, MAX_NAME_CHARS): self.value(pair.value, value_chars) for pair in kept}

    def first(self, values: Sequence[T], most: int = MAX_ATTRIBUTES) -> Sequence[T]:
        """The first of several; the others are left out."""
        if len(values) <= most:
            return values
        self.cuts += len(values) - most
        return values[:most]

    def value(self, value: AnyValue, limit: int = MAX_VALUE_CHARS) -> Any:
        """A value as JSON knows it; bytes in base64, and what JSON has no number for as text."""
        kind = value.WhichOneof("value")
        if kind == "string_value":
            text = value.string_value
            return self._cut(text, limit) if len(text) > limit else text
        if kind in ("int_value", "bool_value", "double_value"):
            return _number(getattr(value, kind))
        if kind is None:
            return None
        return self._compound(value, limit)

    def _compound(self, value: AnyValue, limit: int) -> Any:
        plain = self._plain(value, MAX_DEPTH)
        text = to_json(plain)
        return plain if len(text) <= limit else self._cut(text, limit)

    def _plain(self, value: AnyValue, depth: int) -> Any:
        kind = value.WhichOneof("value")
        if kind == "array_value":
            values = self.first(value.array_value.values, MAX_ATTRIBUTES if depth else 0)
            return [self._plain(each, depth - 1) for each in values]
        if kind == "kvlist_value":
            pairs = self.first(value.kvlist_value.values, MAX_ATTRIBUTES if depth else 0)
            return {self.text(pair.key, MAX_NAME_CHARS): self._plain(pair.value, depth - 1) for pair in pairs}
        if kind == "bytes_value":
            return base64.b64encode(value.bytes_value[:MAX_VALUE_CHARS]).decode()
        return self.value(value)

    def _cut(self, text: str, limit: int) -> str:
        self.cuts += 1
        tail = min(TAIL_CHARS, limit // 4)
        return text[: limit - tail - len(ELLIPSIS)] + ELLIPSIS + text[-tail:]


def order_of(attributes: dict[str, Any]) -> tuple[str | None, str | None]:
    """Id and number of the order that spans and log lines name, each by its own convention."""
    return (
        _order(attributes.get("ticketflow.order.id", attributes.get("order_id"))),
        _order(attributes.get("ticketflow.order.number", attributes.get("order_number"))),
    )


def _order(value: Any) -> str | None:
    text = "" if value is None else str(value)[:MAX_ORDER_CHARS].replace("\0", "")
    return text or None


def _number(value: float | int | bool) -> float | int | bool | str:
    return value if math.isfinite(value) else str(value)
