"""What a file of tunables may change, and what it may not."""

from __future__ import annotations

import logging
import random
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.defaults.settings import CommonSettings, SettingsError, setting
from services.defaults.tunables import Live


@dataclass(frozen=True, kw_only=True)
class Sample(CommonSettings):
    port: int = setting("Port", default=9000, minimum=0, maximum=65535)
    jwt_secret: str = setting("Key", signing_key=True)
    hold_s: float = setting("Hold", default=600, minimum=1, maximum=1800, tunable=True)
    order_limit: int = setting("Orders", default=60, minimum=1, tunable=True)

    def __post_init__(self) -> None:
        if self.hold_s == 13:
            raise SettingsError("HOLD_S: brings bad luck")


SECRET = "hunter2" * 5
GOOD = {"LOG_LEVEL": "warning", "HOLD_S": "30", "ORDER_LIMIT": "5"}
BAD = {
    "LOG_LEVEL": ["loud"],
    "HOLD_S": ["0", "nan", "1e9", "soon", "13"],
    "ORDER_LIMIT": ["0", "2.5", "many"],
    "PORT": ["9001"],
    "JWT_SECRET": [SECRET],
    "TUNABLES_FILE": ["/elsewhere"],
    "HOLD": ["30"],
}
bad_entries = st.sampled_from([(key, value) for key, values in BAD.items() for value in values])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "tunables.env"
    file.write_text("HOLD_S=60\n")
    return file


@pytest.fixture
def live(path: Path) -> Live[Sample]:
    return start(path)


def start(path: Path | str) -> Live[Sample]:
    return Live(Sample, {"JWT_SECRET": "s" * 32, "ORDER_LIMIT": "7", "TUNABLES_FILE": str(path)})


@pytest.fixture(autouse=True)
def root_level() -> Iterator[None]:
    level = logging.getLogger().level
    yield
    logging.getLogger().setLevel(level)


def complaint(caplog: pytest.LogCaptureFixture) -> str:
    (line,) = (record for record in caplog.records if record.levelname == "ERROR")
    return f"{line.getMessage()}: {vars(line)['problems']}"


def test_the_file_goes_before_the_environment(path: Path) -> None:
    path.write_text("# by hand\n\n  HOLD_S = 90\n# PORT=1\nORDER_LIMIT=3\r\n")
    current = start(path).current
    assert (current.hold_s, current.order_limit, current.port) == (90, 3, 9000)


def test_a_reload_replaces_the_settings_and_says_which(
    live: Live[Sample], path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    before = live.current
    path.write_text("HOLD_S=61\nLOG_LEVEL=debug\nORDER_LIMIT=7\n")
    live.reload()
    assert (live.current.hold_s, live.current.log_level, before.hold_s) == (61, "debug", 60)
    assert logging.getLogger().level == logging.DEBUG
    (line,) = caplog.records
    assert (line.levelname, vars(line)["changed"]) == ("INFO", "LOG_LEVEL, HOLD_S")


def test_a_key_that_is_gone_has_the_environment_s_value_again(path: Path) -> None:
    path.write_text("ORDER_LIMIT=3\nHOLD_S=90\n")
    live = start(path)
    path.write_text("")
    live.reload()
    assert (live.current.order_limit, live.current.hold_s) == (7, 600)


@settings(max_examples=100, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    good=st.sets(st.sampled_from(sorted(GOOD))),
    bad=st.lists(bad_entries, min_size=1, max_size=4, unique_by=lambda entry: entry[0]),
    order=st.randoms(use_true_random=False),
)
def test_a_file_with_anything_bad_changes_nothing_and_every_bad_key_is_named(
    path: Path, caplog: pytest.LogCaptureFixture, good: set[str], bad: list[tuple[str, str]], order: random.Random
) -> None:
    path.write_text("HOLD_S=60\n")
    live, level = start(path), logging.getLogger().level
    before = live.current
    lines = [f"{key}={value}" for key, value in ({key: GOOD[key] for key in good} | dict(bad)).items()]
    order.shuffle(lines)
    path.write_text("\n".join(lines))
    caplog.clear()
    live.reload()
    assert live.current is before
    assert logging.getLogger().level == level
    alone = {key for key, value in bad if value != "13"}  # that one is only seen once each value is good by itself
    assert all(f"{key}: " in complaint(caplog) for key in alone or {"HOLD_S"})
    assert SECRET not in complaint(caplog)


@settings(max_examples=200, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(content=st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_no_file_breaks_a_running_process(path: Path, content: bytes) -> None:
    path.write_text("HOLD_S=60\n")
    live = start(path)
    path.write_bytes(content)
    live.reload()
    assert live.current.port == 9000


@pytest.mark.parametrize("content", [b"LOG_LEVEL", b"=debug", b"LOG LEVEL=debug", b"LOG_LEVEL=\xff", None])
def test_what_is_no_list_of_keys_and_values_is_refused(
    live: Live[Sample], path: Path, caplog: pytest.LogCaptureFixture, content: bytes | None
) -> None:
    before = live.current
    path.unlink()
    if content is not None:
        path.write_bytes(b"HOLD_S=61\n" + content)
    live.reload()
    assert live.current is before
    assert "TUNABLES_FILE" in complaint(caplog)


def test_a_bad_file_stops_the_start(path: Path) -> None:
    path.write_text("ORDER_LIMIT=0\nPORT=1\n")
    with pytest.raises(SettingsError, match=r"ORDER_LIMIT: must be.*\n.*PORT: cannot change"):
        start(path)


def test_without_a_file_the_signal_changes_nothing(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    live = start("")
    before = live.current
    live.reload()
    assert live.current is before
    assert "there is no TUNABLES_FILE" in caplog.text


def test_a_secret_is_never_tunable() -> None:
    with pytest.raises(TypeError, match="never tunable"):
        setting("Key", signing_key=True, tunable=True)
