"""PostgreSQL, from Debian's package, in a cluster of its own."""

import os
import re
import shutil
import signal
from pathlib import Path

from services.apphost.checks import check_postgres
from services.apphost.errors import ApphostError
from services.apphost.parts import Part
from services.apphost.process import FOLDER, Command, is_zombie, run_once

ACCOUNT = "postgres"  # the server refuses root; Debian's package makes this account
SUPERUSER = "postgres"
NEW = "data.new"  # a cluster while it is made

# Small, for a laptop: a dozen pools of ten connections, and a working set of a few megabytes.
TUNING = {
    "max_connections": "200",
    "shared_buffers": "64MB",
    "max_wal_size": "256MB",
    "min_wal_size": "64MB",
    "max_worker_processes": "2",
    "max_logical_replication_workers": "0",
    "wal_level": "minimal",
    "max_wal_senders": "0",
    "jit": "off",
    "timezone": "UTC",
    "log_min_messages": "warning",
    "log_checkpoints": "off",
    "logging_collector": "off",
}


def superuser_url(port: int, password: str) -> str:
    return f"postgres://{SUPERUSER}:{password}@127.0.0.1:{port}/postgres"


def postgres(folder: Path, port: int, password: str, *, durable: bool = True) -> Part:
    """The server as a part. ``durable=False`` skips fsync: what is acknowledged outlives a crash, but no power cut."""
    settings = TUNING | {
        "listen_addresses": "127.0.0.1",
        "port": str(port),
        "unix_socket_directories": "",
        "fsync": "on" if durable else "off",
        "full_page_writes": "on" if durable else "off",
    }
    flags = [word for key, value in settings.items() for word in ("-c", f"{key}={value}")]
    url = superuser_url(port, password)
    return Part(
        name="postgres",
        command=Command(
            argv=[program("postgres"), "-D", f"{FOLDER}/data", *flags],
            env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
            user=ACCOUNT,
            folder=folder,
            stop_signal=signal.SIGINT,  # "fast": it does not wait for clients to leave
        ),
        ports={"postgres": port},
        check=lambda: check_postgres(url),
        prepare=lambda: _prepare(folder, password),
        quiet=True,
    )


def program(name: str) -> str:
    """A program of the newest PostgreSQL here; Debian keeps them off PATH. Raises ApphostError without any."""
    homes = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda home: _number(home.parent.name))
    found = shutil.which(name, path=os.pathsep.join([*map(str, reversed(homes)), os.environ["PATH"]]))
    if found is None:
        raise ApphostError(f"PostgreSQL's program {name} is missing.", "`make setup` installs what is needed.")
    return found


def _prepare(folder: Path, password: str) -> None:
    cluster = folder / "data"
    if not cluster.exists():
        _initialise(folder, password)
        return
    version_file = cluster / "PG_VERSION"
    if not version_file.exists():
        raise ApphostError(
            f"The database in {cluster} is damaged: PG_VERSION is missing.",
            f"Restore the folder, or move {folder} away to start with a new one.",
        )
    found, ours = version_file.read_text().strip(), _installed_major()
    if found != ours:
        raise ApphostError(
            f"The database in {cluster} was made by PostgreSQL {found}, and this machine has {ours}.",
            f"Install postgresql-{found}, or move {folder} away to start with a new one.",
        )
    _disown_zombie(cluster / "postmaster.pid")


def _disown_zombie(lock: Path) -> None:
    """Let a start pass by the lock of a server that was killed, and whose parent has not taken leave of it yet.

    Postgres takes any process of that number for a live server, except the parent of the one that starts. The rest
    of the file stays: by it Postgres finds children of the killed server that still work on the cluster.
    """
    holder, *rest = lock.read_text().splitlines(keepends=True) if lock.exists() else [""]
    if holder.strip().isdigit() and is_zombie(int(holder)):
        lock.write_text("".join((f"{os.getpid()}\n", *rest)))


def _initialise(folder: Path, password: str) -> None:
    """Make the cluster beside its place, and move it there when it is whole: a kill leaves none, or all of it."""
    folder.mkdir(parents=True, exist_ok=True)
    new = folder / NEW
    shutil.rmtree(new, ignore_errors=True)  # of a start that was cut short
    secret = folder / "password"
    secret.write_text(password)
    secret.chmod(0o600)
    if os.geteuid() == 0:
        shutil.chown(folder, ACCOUNT, ACCOUNT)
        shutil.chown(secret, ACCOUNT, ACCOUNT)
    try:
        run_once(_initdb(folder))
        new.rename(folder / "data")
    finally:
        shutil.rmtree(new, ignore_errors=True)  # it may be the last room on the disk
        secret.unlink()


def _initdb(folder: Path) -> Command:
    flags = f"--username={SUPERUSER} --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8 --no-instructions"
    return Command(
        argv=[
            *(program("initdb"), "-D", f"{FOLDER}/{NEW}", f"--pwfile={FOLDER}/password"),
            *flags.split(),
        ],
        env={"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8"},
        user=ACCOUNT,
        folder=folder,
    )


def _installed_major() -> str:
    said = run_once(Command(argv=[program("postgres"), "--version"]))
    return next(iter(re.findall(r"\d+", said)), "another release")


def _number(name: str) -> int:
    return int(name) if name.isdigit() else 0
