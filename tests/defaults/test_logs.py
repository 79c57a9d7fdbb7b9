from __future__ import annotations

import json
import logging
import sys
from uuid import UUID

import pytest

from services.defaults.logs import (
    REDACTED,
    JsonFormatter,
    PrettyFormatter,
    Repetitions,
    Scrubber,
    extras_of,
    scrub,
    scrubbed,
)


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "shop", "levelname": "INFO", "levelno": 20, "msg": message})
    made.__dict__.update(extra)
    return made


def failed(error: Exception) -> logging.LogRecord:
    made = record("failed")
    try:
        raise error
    except Exception:
        made.exc_info = sys.exc_info()
    return made


def as_json(made: logging.LogRecord, **facts: str) -> dict[str, object]:
    line: dict[str, object] = json.loads(JsonFormatter("ordering").format(scrubbed(made, facts)))
    return line


class Outlet(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.records: list[logging.LogRecord] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.records.append(record)


def test_a_line_is_one_json_object_with_its_extras() -> None:
    line = as_json(record("order placed\nnext", order="TF-1", lines=2))
    assert (line["service"], line["level"], line["message"]) == ("ordering", "info", "order placed\nnext")
    assert (line["order"], line["lines"]) == ("TF-1", 2)
    assert "\n" not in JsonFormatter("ordering").format(record("a\nb"))


def test_every_outlet_gets_the_same_clean_copy_and_the_record_stays_as_it_was() -> None:
    outlets = [Outlet(), Outlet()]
    made = record("%s logged in", detail="card 4242424242424242", user=UUID(int=1))
    made.args = ("jane@example.com",)
    Scrubber(outlets, lambda: {"order_id": "o-1"}).handle(made)
    (first,), (second,) = (outlet.records for outlet in outlets)
    assert first is second
    assert first.getMessage() == "j…@example.com logged in"
    assert extras_of(first) == {"detail": f"card {REDACTED}", "user": str(UUID(int=1)), "order_id": "o-1"}
    assert made.getMessage() == "jane@example.com logged in"


def test_what_a_line_says_itself_comes_before_what_is_known_of_the_work() -> None:
    assert as_json(record("done", order_id="o-2"), order_id="o-1", order_number="N")["order_id"] == "o-2"


@pytest.mark.parametrize("key", ["password", "refreshToken", "Authorization", "card_number", "cvc", "api_key"])
@pytest.mark.parametrize("formatter", [JsonFormatter("x"), PrettyFormatter()])
def test_secrets_by_name_do_not_show(formatter: logging.Formatter, key: str) -> None:
    line = formatter.format(scrubbed(record("event", **{key: "hunter2"}), {}))
    assert "hunter2" not in line
    assert REDACTED in line


@pytest.mark.parametrize(
    "secret",
    ["4242424242424242", "4242 4242 4242 4242", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln", "user:hunter2"],
)
def test_secrets_by_shape_do_not_show(secret: str) -> None:
    text = f"postgres://{secret}@db/shop" if "hunter2" in secret else f"got {secret} here"
    assert secret not in scrub(text)
    assert secret not in json.dumps(as_json(record(text, detail=text)))


@pytest.mark.parametrize(
    ("text", "masked"),
    [
        ("to jane.doe+x@mail.example.com.", "to j…@mail.example.com."),
        ("<o'neil@example.org>, ?q=b@example.org", "<o…@example.org>, ?q=b…@example.org"),
        ("Bearer dGhpcyBpcyBhIHNlY3JldA", f"Bearer {REDACTED}"),
    ],
)
def test_addresses_are_masked_and_credentials_dropped(text: str, masked: str) -> None:
    assert scrub(text) == masked


@pytest.mark.parametrize(
    "text",
    ["order 12345", "2026-11-24T10:00:00", "a6f1c2d4-0000-4000-8000-1234567890ab", "K7QF-2M9X", "10.0.0.1:8080", "a@b"],
)
def test_ordinary_text_stays(text: str) -> None:
    assert scrub(text) == text


@pytest.mark.parametrize("formatter", [JsonFormatter("x"), PrettyFormatter()])
def test_a_traceback_is_kept_and_scrubbed(formatter: logging.Formatter) -> None:
    clean = scrubbed(failed(ValueError("card 4242424242424242")), {})
    line = formatter.format(clean)
    assert "ValueError" in line
    assert "raise error" in line
    assert "4242424242424242" not in line
    assert clean.exc_info is None
    fields = extras_of(clean)
    assert (fields["exception.type"], fields["exception.message"]) == ("ValueError", f"card {REDACTED}")


def test_the_telemetrys_own_complaints_are_not_repeated() -> None:
    once = Repetitions()
    complaint = logging.makeLogRecord({"name": "opentelemetry.exporter.x", "msg": "Failed to export %s"})
    another = logging.makeLogRecord({"name": "opentelemetry.exporter.x", "msg": "Queue full"})
    assert [once.filter(each) for each in (complaint, complaint, another)] == [True, False, True]
    assert all(once.filter(record("ours")) for _ in range(3))
