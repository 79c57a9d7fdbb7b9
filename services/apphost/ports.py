"""Which ports are free, and who sits on one that is not."""

import contextlib
import fcntl
import functools
import itertools
import os
import random
import socket
import tempfile
from pathlib import Path

from services.apphost.errors import ApphostError

LISTENING = "0A"  # a TCP state in /proc/net/tcp
# Below the range that the kernel takes the ports of outgoing connections from, which could be gone a moment later.
CHOICE = range(20_000, 32_000)


def free_ports(count: int) -> list[int]:
    """So many different ports of loopback that nobody listens on, at random.

    They are this process's until it ends: no later call answers them again, here or in another process of the same
    user, so that a system which still starts does not lose one to its neighbour. Raises ApphostError when there are
    too few.
    """
    candidates = random.SystemRandom().sample(CHOICE, k=len(CHOICE))
    ports = list(itertools.islice(filter(_reserves, candidates), count))
    if len(ports) < count:
        raise ApphostError(
            f"Fewer than {count} ports between {CHOICE.start} and {CHOICE.stop} are free.",
            "Stop what holds them, then try again.",
        )
    return ports


_reserved: set[int] = set()


@functools.cache
def _ledger() -> int:
    """The file in which a lock on byte N is the reservation of port N: such a lock ends with its process (fcntl(2)).

    It stays open: closing any descriptor of the file would end all of the process's locks on it.
    """
    path = Path(tempfile.gettempdir()) / f"ticketflow-{os.geteuid()}-ports"
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)


def _reserves(port: int) -> bool:
    if port in _reserved or is_taken(port):  # a process's own locks do not keep it out
        return False
    try:
        fcntl.lockf(_ledger(), fcntl.LOCK_EX | fcntl.LOCK_NB, 1, port)
    except BlockingIOError:
        return False
    _reserved.add(port)
    return True


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
