"""The state folder: everything that must survive a restart, and nothing that another run may share."""

import contextlib
import dataclasses
import fcntl
import json
import os
import secrets
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from services.apphost.errors import ApphostError
from services.apphost.site import Secrets

NEEDED_BYTES = 300 * 1024 * 1024  # a new Postgres cluster, its log, and room for the demo data
FULL_BYTES = 16 * 1024 * 1024
SECRETS, LOCK, RUNNING = "secrets.json", "lock", "system.json"


@contextlib.contextmanager
def open_state(folder: Path) -> Iterator[Secrets]:
    """Take the folder for this process alone, making it if need be, and answer its secrets.

    Raises ApphostError when it cannot be written, is in use, is damaged, or its disk is full.
    """
    _make(folder)
    require_space(folder)
    with _locked(folder):
        (folder / RUNNING).unlink(missing_ok=True)
        yield _load_secrets(folder / SECRETS)
        (folder / RUNNING).unlink(missing_ok=True)


def require_space(folder: Path, needed_bytes: int = NEEDED_BYTES) -> None:
    """Raises ApphostError when the folder's disk has less room than that."""
    free = shutil.disk_usage(folder).free
    if free < needed_bytes:
        raise ApphostError(
            f"The disk of {folder} is full: {free >> 20} MB are free, and {needed_bytes >> 20} MB are needed.",
            "Make room, then try again.",
        )


def full_disk(folder: Path) -> ApphostError | None:
    """What to say instead, when a program may have failed, in a way of its own, because the disk is full."""
    try:
        require_space(folder, FULL_BYTES)
    except ApphostError as error:
        return error
    except OSError:  # the folder could not even be made
        return None
    return None


def write_running(folder: Path, facts: Mapping[str, Any]) -> None:
    """Publish what runs (addresses, process ids) for tests and tools; whoever reads it sees all of it or nothing."""
    _write_private(folder / RUNNING, json.dumps(facts, indent=2))


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        folder.chmod(0o700)  # mails and secrets are in it
        probe = folder / f".probe-{os.getpid()}"
        probe.touch()
        probe.unlink()
    except OSError as error:
        raise ApphostError(
            f"The state folder {folder} cannot be written: {error.strerror}.",
            "Make it yours (`sudo chown -R $USER`), or name another with --state.",
        ) from error


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    # The kernel drops the lock with its holder, however that ends: no stale lock is ever left behind.
    with (folder / LOCK).open("a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            file.seek(0)
            raise ApphostError(
                f"The system already runs from {folder}, as process {file.read().strip() or 'unknown'}.",
                "Stop it with Ctrl-C first, or name another folder with --state.",
            ) from None
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield


def _load_secrets(file: Path) -> Secrets:
    names = [field.name for field in dataclasses.fields(Secrets)]
    if not file.exists() and (file.parent / "postgres").exists():
        raise _damaged(file, "is missing")  # new passwords would not open the old databases
    kept = _read_secrets(file) if file.exists() else {}
    known = {name: kept.get(name) or secrets.token_hex(32) for name in names}
    if known != kept:
        _write_private(file, json.dumps(known, indent=2))
    return Secrets(**known)


def _read_secrets(file: Path) -> dict[str, str]:
    with contextlib.suppress(OSError, ValueError):  # unreadable or no JSON: as damaged as what is not ours
        kept = json.loads(file.read_text())
        if isinstance(kept, dict) and all(isinstance(value, str) for value in kept.values()):
            return kept
    raise _damaged(file, "cannot be read")


def _damaged(file: Path, how: str) -> ApphostError:
    return ApphostError(
        f"The state folder is damaged: {file} {how}.",
        f"Restore the file, or move {file.parent} away to start with an empty shop.",
    )


def _write_private(file: Path, text: str) -> None:
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as out:
        out.write(text)
    new.replace(file)
