"""Numbers, times and addresses as the pages write them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import quote, urlencode

NS_PER_S: Final = 1_000_000_000
_SIZES: Final = ("B", "KiB", "MiB", "GiB", "TiB")


def link(path: str, **parameters: Any) -> str:
    """An address of ours; parameters that are empty are left out."""
    given = {key.rstrip("_"): value for key, value in parameters.items() if value not in ("", None, False)}
    return f"{path}?{urlencode(given)}" if given else path


def segment(text: object) -> str:
    """A text as one part of a path."""
    return quote(str(text), safe="")


def duration(ns: float) -> str:
    """12 µs, 3.4 ms, 1.25 s, 2 min 5 s."""
    if ns < 0:
        return f"−{duration(-ns)}"
    if ns < 1_000_000:
        return f"{ns / 1000:.0f} µs" if ns else "0 s"
    if ns < NS_PER_S:
        return f"{ns / 1_000_000:.3g} ms" if ns < 100_000_000 else f"{ns / 1_000_000:.0f} ms"
    seconds = ns / NS_PER_S
    if seconds < 60:
        return f"{seconds:.2f} s"
    return lasting(seconds)


def lasting(seconds: float) -> str:
    """A long time in its two greatest units: 45 s, 3 min 12 s, 2 h 5 min, 3 d 4 h."""
    for name, size, smaller, small in (("d", 86_400, "h", 3_600), ("h", 3_600, "min", 60), ("min", 60, "s", 1)):
        if seconds >= size:
            whole, rest = divmod(int(seconds), size)
            return f"{whole} {name} {rest // small} {smaller}"
    return f"{int(seconds)} s"


def size(count: float) -> str:
    """Bytes in the unit that suits them: 84.2 MiB."""
    power = min(len(_SIZES) - 1, max(0, int(count).bit_length() - 1) // 10)
    return f"{count / 1024**power:.1f} {_SIZES[power]}" if power else f"{int(count)} B"


def number(value: float) -> str:
    """1234 as 1,234; a fraction with three digits that count."""
    if value == int(value) or abs(value) >= 1000:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def clock(ns: int) -> str:
    """14:02:03.123 of this machine's zone."""
    return _local(ns).strftime("%H:%M:%S.") + f"{ns // 1_000_000 % 1000:03}"


def day_and_clock(ns: int) -> str:
    """24 Nov, 14:02:03 of this machine's zone."""
    return _local(ns).strftime("%d %b, %H:%M:%S")


def iso(ns: int) -> str:
    """For `<time datetime>`."""
    return datetime.fromtimestamp(ns / NS_PER_S, UTC).isoformat(timespec="milliseconds")


def measured(value: float | None, unit: str) -> str:
    """A metric's value in its unit (UCUM, as OpenTelemetry writes them)."""
    if value is None:
        return "–"
    if unit == "s":
        return duration(value * NS_PER_S)
    if unit == "By":
        return size(value)
    if unit == "/s":
        return f"{number(value)}/s"
    word = unit.strip("{}") if unit.startswith("{") else unit
    return f"{number(value)} {word}".rstrip() if word != "1" else number(value)


def _local(ns: int) -> datetime:
    return datetime.fromtimestamp(ns / NS_PER_S, UTC).astimezone()


FILTERS: Final[Mapping[str, Callable[..., str]]] = {
    "segment": segment,
    "duration": duration,
    "lasting": lasting,
    "size": size,
    "number": number,
    "clock": clock,
    "day_and_clock": day_and_clock,
    "iso": iso,
    "measured": measured,
}
