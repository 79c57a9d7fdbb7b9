"""The state folder: kept between runs, used by one at a time, and one clear sentence for each way it can be wrong."""

import json
import stat
from pathlib import Path

import pytest

from services.apphost.errors import ApphostError
from services.apphost.servers.postgres import postgres
from services.apphost.state import open_state, require_space


def test_secrets_are_made_once_and_are_private(tmp_path: Path) -> None:
    with open_state(tmp_path / "state") as first:
        pass
    with open_state(tmp_path / "state") as second:
        pass
    assert first == second
    assert len(set(vars(first).values())) == len(vars(first))
    assert stat.S_IMODE((tmp_path / "state/secrets.json").stat().st_mode) == 0o600


def test_a_secret_that_a_newer_release_needs_is_added(tmp_path: Path) -> None:
    (tmp_path / "secrets.json").write_text(json.dumps({"jwt": "kept"}))
    with open_state(tmp_path) as secrets:
        assert secrets.jwt == "kept"
        assert len(secrets.redis) == 64


def test_a_second_run_is_told_who_runs(tmp_path: Path) -> None:
    with open_state(tmp_path), pytest.raises(ApphostError, match=r"already runs from .*, as process \d+"):
        open_state(tmp_path).__enter__()


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"jwt": 1}', b"\xff\xfe"])
def test_damaged_secrets_are_named(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "secrets.json").write_bytes(content)
    with pytest.raises(ApphostError, match=r"damaged: .*secrets\.json cannot be read"):
        open_state(tmp_path).__enter__()


def test_lost_secrets_are_not_made_anew_beside_old_databases(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    with pytest.raises(ApphostError, match=r"damaged: .*secrets\.json is missing"):
        open_state(tmp_path).__enter__()


def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(ApphostError, match="cannot be written"):
        open_state(tmp_path / "file" / "state").__enter__()


def test_a_full_disk_is_named(tmp_path: Path) -> None:
    with pytest.raises(ApphostError, match="is full"):
        require_space(tmp_path, needed_bytes=1 << 60)


def test_a_cluster_without_its_version_is_damaged(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    with pytest.raises(ApphostError, match="PG_VERSION is missing"):
        _prepare(tmp_path)


def test_a_cluster_of_another_release_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data/PG_VERSION").write_text("9\n")
    with pytest.raises(ApphostError, match="made by PostgreSQL 9"):
        _prepare(tmp_path)


def _prepare(folder: Path) -> None:
    part = postgres(folder, 1, "password")
    assert part.prepare is not None
    part.prepare()
