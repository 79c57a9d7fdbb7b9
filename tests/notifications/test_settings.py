"""What the worker refuses to start with."""

import pytest

from services.defaults.settings import SettingsError, load
from services.notifications.settings import QueueSettings, Settings

ENV = {
    "RABBITMQ_URL": "amqp://a:b@127.0.0.1/",
    "REDIS_URL": "redis://127.0.0.1/0",
    "SMTP_HOST": "127.0.0.1",
    "MAIL_FROM": "TicketFlow <tickets@shop.test>",
    "PUBLIC_URL": "https://shop.test",
}


def test_waits_a_second_ten_a_minute_and_ten() -> None:
    assert load(Settings, ENV).delays_s == (1, 10, 60, 600)


def test_replay_needs_only_the_broker() -> None:
    assert load(QueueSettings, {"RABBITMQ_URL": ENV["RABBITMQ_URL"]}).delays_s == (1, 10, 60, 600)


def test_secrets_are_not_shown() -> None:
    shown = repr(load(Settings, ENV | {"SMTP_PASSWORD": "hunter2"}))
    assert "hunter2" not in shown
    assert "a:b@" not in shown


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("RETRY_DELAYS_S", "soon"),
        ("RETRY_DELAYS_S", "1,-1"),
        ("RETRY_DELAYS_S", "0"),
        ("RETRY_DELAYS_S", "nan"),
        ("MAIL_FROM", "TicketFlow"),
        ("SMTP_TLS", "maybe"),
        ("SMTP_PORT", "0"),
    ],
)
def test_names_what_is_wrong(key: str, value: str) -> None:
    with pytest.raises(SettingsError, match=key):
        load(Settings, ENV | {key: value})
