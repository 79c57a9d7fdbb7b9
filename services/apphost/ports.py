"""Which ports are free, and who sits on one that is not."""

import contextlib
import itertools
import os
import random
import socket
from pathlib import Path

LISTENING = "0A"  # a TCP state in /proc/net/tcp


def free_ports(count: int) -> list[int]:
    """So many different ports of loopback that nobody listens on.

    They lie below the range that the kernel takes the ports of outgoing connections from, which could otherwise
    be gone a moment later; and at random, so that two runs at once hardly meet.
    """
    candidates = random.SystemRandom().sample(range(20_000, 32_000), k=2_000)
    return list(itertools.islice((port for port in candidates if not is_taken(port)), count))


def is_taken(port: int) -> bool:
    """Whether a server could not listen on the port of loopback."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: old connections do not count
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def who_listens(port: int) -> str:
    """The process that holds a port, as ``name (pid 123)``; empty when /proc does not tell (another's process)."""
    wanted = {f"socket:[{inode}]" for inode in _listening_inodes(port)}
    for pid in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):  # it has ended meanwhile, or is another user's
            if any(_target(link) in wanted for link in Path(f"/proc/{pid}/fd").iterdir()):
                return f"{Path(f'/proc/{pid}/comm').read_text().strip()} (pid {pid})"
    return ""


def _target(link: Path) -> str:
    with contextlib.suppress(OSError):  # closed meanwhile
        return os.readlink(link)
    return ""


def _listening_inodes(port: int) -> set[str]:
    rows = []
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            rows += [line.split() for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]]
    return {row[9] for row in rows if row[3] == LISTENING and int(row[1].rpartition(":")[2], 16) == port}
