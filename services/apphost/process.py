"""Child processes that cannot be left behind.

Every child leads a process group of its own, so that a Ctrl-C in the terminal reaches only the app host, which
then stops the parts in order, and so that one signal ends a child with all its descendants. The kernel kills a
child whose parent is gone (PR_SET_PDEATHSIG), so that not even ``kill -9`` of the app host leaves any.
"""

import asyncio
import contextlib
import os
import pwd
import shutil
import signal
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import IO

from services.apphost.errors import ApphostError

POLL_S = 0.05
FOLDER = "{folder}"  # in a command: where the folder is, as the child sees it

WriteLine = Callable[[str], None]


@dataclass(frozen=True, kw_only=True)
class Command:
    """What to run, and as whom.

    ``user`` counts only when the app host is root: it names the account to run as, for a server that refuses root.
    ``folder`` is then handed over as an open directory, because the account may not pass the folders above it
    (a checkout in /root, say); ``{folder}`` in the arguments stands for it.
    """

    argv: Sequence[str]
    env: Mapping[str, str] = field(default_factory=dict)
    user: str = ""
    folder: Path | None = None
    cwd: Path | None = None
    stop_signal: signal.Signals = signal.SIGTERM


class Process:
    """A running child; ``start`` makes one. Its output goes line by line to the writer it was given."""

    def __init__(self, child: subprocess.Popen[bytes], stop_signal: signal.Signals, write: WriteLine) -> None:
        self._child = child
        self._stop_signal = stop_signal
        self._started = time.monotonic()
        self.started_at = datetime.now(UTC)
        self._reader = threading.Thread(target=_pump, args=(child.stdout, write), daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        return self._child.pid

    @property
    def age_s(self) -> float:
        return time.monotonic() - self._started

    @property
    def exit_code(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._child.poll()

    def join(self, timeout_s: float) -> int:
        """Block until it ends and its last line is written. Raises TimeoutExpired, and then leaves it running."""
        code = self._child.wait(timeout_s)
        self._reader.join(1.0)
        return code

    async def wait(self) -> int:
        while (code := self._child.poll()) is None:  # noqa: ASYNC110 (the kernel sets no asyncio.Event)
            await asyncio.sleep(POLL_S)
        return code

    def ask_to_stop(self) -> None:
        """Send the part's own stop signal."""
        with contextlib.suppress(ProcessLookupError):
            self._child.send_signal(self._stop_signal)
        self.thaw()  # a frozen process would not hear it

    async def stop(self, grace_s: float) -> None:
        """Ask the process to end, and kill its whole group when the grace is over. Never raises, never hangs."""
        if grace_s > 0:
            self.ask_to_stop()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self.wait(), grace_s)
        self.kill()
        await self.wait()
        await asyncio.to_thread(self._reader.join, 1.0)

    def freeze(self) -> None:
        """Halt the process and its descendants: their connections stay, and nobody answers."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End the process and its descendants at once."""
        self._signal(signal.SIGKILL)

    def _signal(self, number: signal.Signals) -> None:
        """Reach the process and its descendants, those that left its group (Postgres's do) included."""
        offspring = descendants(self._child.pid)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._child.pid, number)
        for pid in {*offspring, *descendants(self._child.pid)}:  # one may have been born just now
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


def start(command: Command, write: WriteLine) -> Process:
    """Start a child; its lines (standard output and error) go to ``write`` from a thread.

    Call it from a thread that lives as long as the child should: PR_SET_PDEATHSIG watches the thread.
    Raises ApphostError when the program is missing.
    """
    with _prepared(command) as (argv, fds):
        child = subprocess.Popen(
            argv,
            env=dict(command.env),
            cwd="/" if fds else command.cwd,
            pass_fds=fds,
            process_group=0,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
    return Process(child, command.stop_signal, write)


def run_once(command: Command, timeout_s: float = 120) -> str:
    """Run a command to its end and return what it printed. Raises ApphostError when it fails or takes too long."""
    lines: list[str] = []
    process = start(command, lines.append)
    try:
        code = process.join(timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        code = process.join(timeout_s)
    if code != 0:
        last = next((line for line in reversed(lines) if line.strip()), "it said nothing")
        raise ApphostError(f"{Path(command.argv[0]).name} failed.", f"It said: {last.strip()}")
    return "\n".join(lines)


def how_it_ended(code: int) -> str:
    """An exit code in words, to follow the part's name."""
    return f"was ended by {signal.Signals(-code).name}" if code < 0 else f"ended with code {code}"


def descendants(pid: int) -> list[int]:
    """The processes below one, as far as they are still its children's children."""
    try:
        children = [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return [*children, *(below for child in children for below in descendants(child))]


def is_zombie(pid: int) -> bool:
    """Whether it has ended, and stays only until its parent asks how: for ever, where that never asks."""
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False
    return stat.rpartition(")")[2].split()[0] == "Z"  # after the program's name, which may hold anything


@contextlib.contextmanager
def _prepared(command: Command) -> Iterator[tuple[list[str], tuple[int, ...]]]:
    _require(command.argv[0])
    switch_user = bool(command.user) and os.geteuid() == 0
    account = _account(command.user) if switch_user else []
    launcher = ["setpriv", "--pdeathsig=KILL", *account, "--"]
    if not switch_user or command.folder is None:
        yield [*launcher, *_with_folder(command.argv, str(command.folder))], ()
        return
    handle = os.open(command.folder, os.O_DIRECTORY)
    try:
        yield [*launcher, *_with_folder(command.argv, f"/proc/self/fd/{handle}")], (handle,)
    finally:
        os.close(handle)


def _account(name: str) -> list[str]:
    try:
        user = pwd.getpwnam(name)
    except KeyError:
        raise ApphostError(
            f"This machine has no account named {name}.", "`make setup` installs what is needed."
        ) from None
    return [f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--init-groups"]


def _with_folder(argv: Sequence[str], folder: str) -> list[str]:
    return [word.replace(FOLDER, folder) for word in argv]


def _require(program: str) -> None:
    for needed in (program, "setpriv"):
        if shutil.which(needed) is None:
            raise ApphostError(f"The program {needed} is missing.", "`make setup` installs what is needed.")


def _pump(stream: IO[bytes] | None, write: WriteLine) -> None:
    if stream is None:
        return
    with stream:
        for line in stream:
            write(line.decode(errors="replace").rstrip("\n"))
