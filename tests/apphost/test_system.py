"""What fault tests do to parts: crash them, keep them down, freeze them."""

import os
from pathlib import Path

import pytest
from redis import Redis
from redis.exceptions import ConnectionError as RedisDownError
from redis.exceptions import TimeoutError as RedisFrozenError

from services.apphost.errors import ApphostError
from services.apphost.system import running_system


def test_a_part_is_restarted_kept_down_and_frozen(tmp_path: Path) -> None:
    with (
        running_system(tmp_path, "redis") as system,
        Redis.from_url(system.urls["redis"], socket_timeout=0.3, retry=None) as client,
    ):
        first = system.pid("redis")
        system.restart("redis")
        assert system.pid("redis") not in (0, first)
        assert client.ping()

        with system.down("redis"), pytest.raises(RedisDownError):
            client.ping()
        assert client.ping()

        with system.frozen("redis"), pytest.raises(RedisFrozenError):
            client.ping()
        assert client.ping()


def test_a_system_that_does_not_start_says_what_it_printed(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text("damaged")
    with pytest.raises(ApphostError, match="did not start") as caught, running_system(tmp_path, "redis"):
        pytest.fail("it started")
    assert "The state folder is damaged" in "\n".join(caught.value.__notes__)


def test_what_a_caller_adds_reaches_the_parts(tmp_path: Path) -> None:
    with running_system(tmp_path, "mailbox", env={"TICKETFLOW_TEST": "hidden", "MAILBOX_MAX_BYTES": "4321"}) as system:
        environ = Path(f"/proc/{system.pid('mailbox')}/environ").read_bytes().split(b"\0")
    assert b"MAILBOX_MAX_BYTES=4321" in environ
    assert not [entry for entry in environ if entry.startswith(b"TICKETFLOW_")]
    assert "MAILBOX_MAX_BYTES" not in os.environ
