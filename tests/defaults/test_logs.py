from __future__ import annotations

import json
import logging
import sys

import pytest

from services.defaults.logs import REDACTED, JsonFormatter, PrettyFormatter, scrub


def record(message: str, **extra: object) -> logging.LogRecord:
    made = logging.makeLogRecord({"name": "shop", "levelname": "INFO", "levelno": 20, "msg": message})
    made.__dict__.update(extra)
    return made


def test_a_line_is_one_json_object_with_its_extras() -> None:
    line = json.loads(JsonFormatter("ordering").format(record("order placed\nnext", order="TF-1", lines=2)))
    assert (line["service"], line["level"], line["message"]) == ("ordering", "info", "order placed\nnext")
    assert (line["order"], line["lines"]) == ("TF-1", 2)
    assert "\n" not in JsonFormatter("ordering").format(record("a\nb"))


@pytest.mark.parametrize("key", ["password", "refreshToken", "Authorization", "card_number", "cvc", "api_key"])
@pytest.mark.parametrize("formatter", [JsonFormatter("x"), PrettyFormatter("x")])
def test_secrets_by_name_do_not_show(formatter: logging.Formatter, key: str) -> None:
    line = formatter.format(record("event", **{key: "hunter2"}))
    assert "hunter2" not in line
    assert REDACTED in line


@pytest.mark.parametrize(
    "secret",
    ["4242424242424242", "4242 4242 4242 4242", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJ1In0.c2ln", "user:hunter2"],
)
def test_secrets_by_shape_do_not_show(secret: str) -> None:
    text = f"postgres://{secret}@db/shop" if "hunter2" in secret else f"got {secret} here"
    assert secret not in scrub(text)
    assert secret not in JsonFormatter("x").format(record(text, detail=text))


@pytest.mark.parametrize("text", ["order 12345", "2026-11-24T10:00:00", "a6f1c2d4-0000-4000-8000-1234567890ab"])
def test_ordinary_text_stays(text: str) -> None:
    assert scrub(text) == text


def test_a_traceback_is_kept_and_scrubbed() -> None:
    try:
        raise ValueError("card 4242424242424242")
    except ValueError:
        made = record("failed")
        made.exc_info = sys.exc_info()
    line = json.loads(JsonFormatter("x").format(made))
    assert "ValueError" in line["exception"]
    assert "4242424242424242" not in line["exception"]
