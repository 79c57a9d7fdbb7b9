"""What the system that runs from a state folder has published about itself."""

import fcntl
import json
from pathlib import Path
from typing import Any

from services.apphost.errors import ApphostError
from services.apphost.state import LOCK, RUNNING


def read_running(folder: Path) -> dict[str, Any]:
    """Its ``urls``, ``ports`` and ``pids``. Raises ApphostError where none runs, or is still starting."""
    facts = find_running(folder)
    if facts is None:
        raise ApphostError(f"No system runs from {folder}.", "Start it with `make up`, or name another with --state.")
    return facts


def find_running(folder: Path) -> dict[str, Any] | None:
    """The same, or None."""
    if not (_is_locked(folder / LOCK) and (folder / RUNNING).exists()):
        return None
    facts: dict[str, Any] = json.loads((folder / RUNNING).read_text())
    return facts if facts["ready"] else None


def _is_locked(file: Path) -> bool:
    """A lock ends with its holder; the facts of one that was killed would still lie there."""
    if not file.exists():
        return False
    with file.open() as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False
