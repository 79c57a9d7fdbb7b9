"""No child is left behind: not one that ignores the signal, not a grandchild, not when the parent is killed."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from services.apphost import ports
from services.apphost.errors import ApphostError
from services.apphost.ports import free_ports, is_taken, who_listens
from services.apphost.process import Command, descendants, run_once, start
from tests.apphost.stage import runs

STUBBORN = """
import os, signal, subprocess, sys, time
signal.signal(signal.SIGTERM, signal.SIG_IGN)
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"], start_new_session=True)
print(child.pid, flush=True)
time.sleep(60)
"""
# A parent that starts a child through us, says the child's id, and waits to be killed.
PARENT = """
import sys, time
from services.apphost.process import Command, start
print(start(Command(argv=["sleep", "60"]), print).pid, flush=True)
time.sleep(60)
"""


def python(code: str) -> Command:
    return Command(argv=[sys.executable, "-c", code], env=dict(os.environ))


def wait_until(condition: Callable[[], bool], timeout_s: float = 10) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.02)


async def test_stop_kills_what_ignores_the_signal_with_its_offspring() -> None:
    lines: list[str] = []
    process = start(python(STUBBORN), lines.append)
    wait_until(lambda: bool(lines))
    grandchild = int(lines[0])
    assert runs(grandchild)

    began = time.monotonic()
    await process.stop(grace_s=0.3)

    assert 0.3 <= time.monotonic() - began < 3
    assert process.exit_code == -signal.SIGKILL
    wait_until(lambda: not runs(grandchild))


async def test_stop_reaches_a_frozen_process() -> None:
    process = start(Command(argv=["sleep", "60"]), print)
    os.kill(process.pid, signal.SIGSTOP)
    await process.stop(grace_s=3)
    assert process.exit_code == -signal.SIGTERM


def test_children_die_with_their_parent() -> None:
    parent = subprocess.Popen([sys.executable, "-c", PARENT], stdout=subprocess.PIPE, text=True)
    assert parent.stdout is not None
    with parent:
        child = int(parent.stdout.readline())
        wait_until(lambda: Path(f"/proc/{child}/comm").read_text() == "sleep\n")
        parent.kill()
    wait_until(lambda: not runs(child))


def test_each_line_arrives_once_whatever_its_bytes() -> None:
    lines: list[str] = []
    process = start(python("import sys; sys.stdout.buffer.write(b'one\\n\\xff\\nlast')"), lines.append)
    assert process.join(10) == 0
    assert lines == ["one", "\ufffd", "last"]


def test_a_command_s_failure_says_its_last_words() -> None:
    with pytest.raises(ApphostError, match="no such luck"):
        run_once(python("raise SystemExit('no such luck')"))


def test_a_missing_program_is_named() -> None:
    with pytest.raises(ApphostError, match="program no-such-server is missing"):
        start(Command(argv=["no-such-server"]), print)


def test_a_part_s_user_reaches_its_folder_below_one_that_is_closed_to_it(tmp_path: Path) -> None:
    """Only root can start a part as somebody else: for anybody else it is themselves."""
    user, owner = ("nobody", 65534) if os.geteuid() == 0 else ("", os.geteuid())
    inner = tmp_path / "closed/inner"
    inner.mkdir(parents=True)
    (tmp_path / "closed").chmod(0o700)
    os.chown(inner, owner, -1)

    said = run_once(
        Command(argv=["sh", "-c", "touch {folder}/file && id -u"], env=dict(os.environ), user=user, folder=inner)
    )

    assert said == str(owner)
    assert (inner / "file").exists()


def test_descendants_are_found_at_every_depth() -> None:
    lines: list[str] = []
    process = start(python(STUBBORN), lines.append)
    wait_until(lambda: bool(lines))
    assert descendants(process.pid) == [int(lines[0])]
    process.kill()
    process.join(5)


def test_a_taken_port_is_told_from_a_free_one_with_its_holder() -> None:
    server = [
        sys.executable,
        "-c",
        "import socket,time; s=socket.create_server(('127.0.0.1', 0));"
        "print(s.getsockname()[1], flush=True); time.sleep(60)",
    ]
    with subprocess.Popen(server, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        port = int(holder.stdout.readline())
        assert is_taken(port)
        assert who_listens(port).endswith(f"(pid {holder.pid})")
        holder.kill()
    assert not is_taken(port)
    assert who_listens(port) == ""


DRAWING = """
import sys
from services.apphost.ports import free_ports
print(*free_ports(400), flush=True)
sys.stdin.readline()
"""


def test_a_free_port_is_given_once_whoever_asks_until_the_asker_ends() -> None:
    """Two systems that start at once must not meet: with 400 of 12,000 each, chance alone would let them."""
    with contextlib.ExitStack() as stack:
        askers = [
            stack.enter_context(
                subprocess.Popen(
                    [sys.executable, "-c", DRAWING], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for _ in range(2)
        ]
        drawn = [line.split() for asker in askers if asker.stdout for line in [asker.stdout.readline()]]
        own = free_ports(200) + free_ports(200)
        assert len({*map(int, drawn[0]), *map(int, drawn[1]), *own}) == 1200
        for asker in askers:
            asker.communicate("\n", timeout=10)


def test_that_no_port_is_left_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ports, "CHOICE", range(20_000, 20_002))
    with pytest.raises(ApphostError, match="Fewer than 3 ports"):
        free_ports(3)
