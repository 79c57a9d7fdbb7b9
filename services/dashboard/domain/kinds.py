"""Numbers that OpenTelemetry gives to kinds of spans and to levels of logs."""

from __future__ import annotations

from enum import IntEnum


class SpanKind(IntEnum):
    """OTLP's numbers."""

    UNSPECIFIED = 0
    INTERNAL = 1
    SERVER = 2
    CLIENT = 3
    PRODUCER = 4
    CONSUMER = 5


class Severity(IntEnum):
    """The least number of each of OpenTelemetry's levels; a level reaches up to the next."""

    UNKNOWN = 0
    TRACE = 1
    DEBUG = 5
    INFO = 9
    WARN = 13
    ERROR = 17
    FATAL = 21
