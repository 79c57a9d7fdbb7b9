"""Starts programs as Nomad would, and waits for them."""

from __future__ import annotations

import os
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

from services.apphost.servers.postgres import program
from tests.nomad.hcl import JOBS

AS_ROOT = os.geteuid() == 0
PATIENCE_S = 30.0


@contextmanager
def folder_for(account: str) -> Iterator[tuple[Path, list[str]]]:
    """A folder that the account may reach, as it may not pytest's; and the words that make a command run as it.

    Root runs the servers under their own accounts, as Nomad does; anybody else as himself.
    """
    with tempfile.TemporaryDirectory(prefix="ticketflow-") as name:
        folder = Path(name)
        if AS_ROOT:
            folder.chmod(0o711)
            yield folder, ["setpriv", f"--reuid={account}", f"--regid={account}", "--clear-groups"]
        else:
            yield folder, []


def give(folder: Path, account: str) -> None:
    """The folder, and what is in it, becomes the account's, where root does the test."""
    if AS_ROOT:
        subprocess.run(["chown", "-R", account, str(folder)], check=True)


@contextmanager
def running(command: list[str], env: Mapping[str, str], cwd: Path) -> Iterator[subprocess.Popen[bytes]]:
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **env}
    with (cwd / "log").open("wb") as log:
        process = subprocess.Popen(
            command, env=environ, cwd=cwd, stdout=log, stderr=log, stdin=subprocess.DEVNULL, start_new_session=True
        )
        try:
            yield process
        finally:
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def until(condition: Callable[[], object], log: Path) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while True:
        try:
            condition()
        except Exception as error:  # whatever a server says while it starts
            if time.monotonic() > deadline:
                error.add_note(log.read_text(errors="replace")[-2000:])
                raise
            time.sleep(0.1)
        else:
            return


def libpq(url: str) -> dict[str, str]:
    """The environment of Postgres's programs that says the same as the URL."""
    parts = urlsplit(url)
    return {
        "PGHOST": parts.hostname or "",
        "PGPORT": str(parts.port),
        "PGUSER": parts.username or "",
        "PGPASSWORD": parts.password or "",
        "PGDATABASE": parts.path.strip("/"),
    }


def restore(dump: Path, database: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Puts a dump back into the database that libpq's variables name, as the runbook says."""
    environ = {"PATH": f"{Path(program('psql')).parent}:{os.environ['PATH']}", **database}
    command = [str(JOBS / "restore.sh"), str(dump)]
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)
