"""The scripts inside the jobs, run as Nomad would run them, against real servers."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import pytest
from redis import Redis

from services.apphost.checks import check_rabbitmq
from services.apphost.ports import free_ports
from services.apphost.servers.postgres import program
from tests.conftest import PostgresServer
from tests.nomad.hcl import load_jobs
from tests.nomad.processes import folder_for, give, libpq, restore, running, until

ALL = load_jobs()
BIN = str(Path(program("postgres")).parent)


def write_script(folder: Path, job: str, task: str, name: str) -> Path:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(ALL[job].groups[0].tasks[task].script(name))
    return path


def sh(script: Path, env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    command = ["/bin/sh", str(script)]
    environ = {"PATH": os.environ["PATH"], "LC_ALL": "C.UTF-8", **env}
    return subprocess.run(command, env=environ, capture_output=True, text=True, timeout=60, check=False)


def psql(env: Mapping[str, str], statement: str) -> str:
    command = [program("psql"), "--no-psqlrc", "-At", "-v", "ON_ERROR_STOP=1", "-c", statement]
    environ = {"PATH": os.environ["PATH"], **env}
    return subprocess.run(command, env=environ, capture_output=True, text=True, check=True, timeout=30).stdout.strip()


@pytest.mark.parametrize("name", sorted(ALL))
def test_scripts_are_posix_shell(name: str, tmp_path: Path) -> None:
    for task in ALL[name].tasks:
        for template in task.templates:
            if template.destination.endswith(".sh"):
                assert "${" not in template.text  # Nomad would take it for one of its own variables
                script = tmp_path / "script.sh"
                script.write_text(template.text)
                subprocess.run(["/bin/sh", "-n", str(script)], check=True, timeout=10)


@pytest.fixture
def account() -> Iterator[tuple[Path, list[str]]]:
    with folder_for("postgres") as found:
        yield found


def test_postgres_starts_from_nothing_makes_the_databases_and_starts_again(account: tuple[Path, list[str]]) -> None:
    folder, prefix = account
    (port,) = free_ports(1)
    local = folder / "local"
    serve = write_script(local, "postgres", "postgres", "serve.sh")
    databases = write_script(local, "postgres", "databases", "databases.sh")
    (hba,) = (each for each in ALL["postgres"].groups[0].tasks["postgres"].templates if "pg_hba" in each.destination)
    (local / "pg_hba.conf").write_text(hba.text.replace("${var.clients}", "samenet"))
    give(folder, "postgres")
    env = {
        "BIN": BIN,
        "DATA": str(folder / "15"),
        "LISTEN_ON": "127.0.0.1",
        "PORT": str(port),
        "NOMAD_TASK_DIR": str(local),
        "SUPERUSER_PASSWORD": "super",
    }
    admin = {"PGHOST": "127.0.0.1", "PGPORT": str(port), "PGUSER": "postgres", "PGPASSWORD": "super"}
    filling = admin | {"PGDATABASE": "postgres", "BIN": BIN}
    passwords = {f"{name}_PASSWORD": f"it's {name}" for name in ("CATALOG", "IDENTITY", "ORDERING")}
    ordering = admin | {"PGUSER": "ordering", "PGPASSWORD": "it's ORDERING", "PGDATABASE": "ordering"}

    with running([*prefix, "/bin/sh", str(serve)], env, folder) as process:
        for _ in range(2):  # the second time changes nothing
            filled = sh(databases, filling | passwords)
            assert filled.returncode == 0, filled.stderr
        assert psql(ordering, "CREATE TABLE kept (id int); SELECT current_user").endswith("ordering")
        with pytest.raises(subprocess.CalledProcessError):
            psql(ordering | {"PGDATABASE": "identity"}, "SELECT 1")
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
    with running([*prefix, "/bin/sh", str(serve)], env, folder):
        until(lambda: psql(ordering, "SELECT * FROM kept"), folder / "log")


def test_a_dump_of_the_backup_job_is_restored(postgres: PostgresServer, tmp_path: Path) -> None:
    script = write_script(tmp_path, "backup", "dump", "backup.sh")
    owners = {name: libpq(postgres.create_database(f"backup_{name}")) for name in ("catalog", "identity", "ordering")}
    # The script goes by the services' names, and this server is shared, so the names are put in its place.
    text = script.read_text()
    for name, owner in owners.items():
        text = re.sub(rf"^    {name}\)", f"    {owner['PGUSER']})", text, flags=re.MULTILINE)
        text = re.sub(rf"(for name in .*)\b{name}\b", rf"\1{owner['PGUSER']}", text)
    script.write_text(text)
    ordering = owners["ordering"]
    psql(ordering, "CREATE TABLE orders (id int PRIMARY KEY, what text); INSERT INTO orders VALUES (1, 'two tickets')")
    env = {
        "BIN": BIN,
        "BACKUPS": str(tmp_path / "backups"),
        "KEEP_DAYS": "14",
        "SERVER_HOST": ordering["PGHOST"],
        "SERVER_PORT": ordering["PGPORT"],
        **{f"{name.upper()}_PASSWORD": owner["PGPASSWORD"] for name, owner in owners.items()},
    }
    folder = tmp_path / "backups" / ordering["PGUSER"]
    folder.mkdir(parents=True)
    old, recent = folder / "20010101T000000Z.dump", folder / "20010102T000000Z.dump"
    for path, days in ((old, 20), (recent, 2)):
        path.touch()
        os.utime(path, (time.time() - days * 86400,) * 2)

    result = sh(script, env)
    assert result.returncode == 0, result.stderr
    assert not old.exists()
    assert recent.exists()
    (dump,) = (path for path in folder.glob("*.dump") if path != recent)
    assert dump.stat().st_mode & 0o077 == 0

    later = "CREATE TABLE later (id int); CREATE FUNCTION later() RETURNS int LANGUAGE sql AS 'SELECT 1'"
    for _ in range(2):
        psql(ordering, f"DELETE FROM orders; {later}")  # a newer schema, which `migrate` would make again
        restored = restore(dump, ordering)
        assert restored.returncode == 0, restored.stderr
        assert psql(ordering, "SELECT what FROM orders") == "two tickets"
        assert psql(ordering, "SELECT to_regclass('later') IS NULL AND to_regproc('later') IS NULL") == "t"


def test_a_failed_dump_is_no_backup_and_old_ones_stay(tmp_path: Path) -> None:
    script = write_script(tmp_path, "backup", "dump", "backup.sh")
    (nobody,) = free_ports(1)
    folder = tmp_path / "backups" / "catalog"
    folder.mkdir(parents=True)
    old = folder / "20010101T000000Z.dump"
    old.touch()
    os.utime(old, (0, 0))
    passwords = {f"{name}_PASSWORD": "x" for name in ("CATALOG", "IDENTITY", "ORDERING")}
    server = {"SERVER_HOST": "127.0.0.1", "SERVER_PORT": str(nobody)}
    result = sh(script, {"BIN": BIN, "BACKUPS": str(tmp_path / "backups"), "KEEP_DAYS": "14", **server, **passwords})
    assert result.returncode != 0
    assert [path for path in folder.iterdir() if path.suffix == ".dump"] == [old]


def test_what_cannot_be_restored_changes_nothing(postgres: PostgresServer, tmp_path: Path) -> None:
    env = libpq(postgres.create_database("restore"))
    psql(env, "CREATE TABLE kept (id int)")
    damaged = tmp_path / "damaged.dump"
    damaged.write_bytes(b"PGDMP and nothing more")
    result = restore(damaged, env)
    assert (result.returncode, "is damaged" in result.stderr) == (1, True)

    good = tmp_path / "good.dump"
    dumping = {"PATH": os.environ["PATH"], **env}
    subprocess.run([f"{BIN}/pg_dump", "--format=custom", f"--file={good}"], env=dumping, check=True, timeout=30)
    with subprocess.Popen([program("psql"), "-c", "SELECT pg_sleep(30)"], env=dumping) as client:
        connected = "SELECT 1 / (count(*) - 1) FROM pg_stat_activity WHERE datname = current_database()"
        until(lambda: psql(env, connected), tmp_path / "damaged.dump")
        result = restore(good, env)
        client.terminate()
    assert (result.returncode, "stop its service" in result.stderr) == (1, True)
    assert psql(env, "SELECT count(*) FROM kept") == "0"


def test_redis_starts_with_its_password(tmp_path: Path) -> None:
    (port,) = free_ports(1)
    serve = write_script(tmp_path / "local", "redis", "redis", "serve.sh")
    env = {"DATA": str(tmp_path), "LISTEN_ON": "127.0.0.1", "PORT": str(port), "PASSWORD": "secret"}
    with running(["/bin/sh", str(serve)], env, tmp_path) as process:
        with Redis(port=port, password="secret") as client:
            until(client.ping, tmp_path / "log")
            client.set("kept", 1)
            assert client.config_get("maxmemory-policy") == {"maxmemory-policy": "volatile-lru"}
        assert b"secret" not in Path(f"/proc/{process.pid}/cmdline").read_bytes()
        process.terminate()
        assert process.wait(20) == 0
    with running(["/bin/sh", str(serve)], env, tmp_path), Redis(port=port, password="secret") as client:
        until(client.ping, tmp_path / "log")
        assert client.get("kept") == b"1"


def test_rabbitmq_starts_with_its_password(tmp_path: Path) -> None:
    port, epmd, nodes = free_ports(3)
    serve = write_script(tmp_path / "local", "rabbitmq", "rabbitmq", "serve.sh")
    secrets = tmp_path / "secrets"
    secrets.mkdir()
    env = {
        "HOME": str(tmp_path),
        "LAUNCHER": "/usr/lib/rabbitmq/bin/rabbitmq-server",
        "LISTEN_ON": "127.0.0.1",
        "PORT": str(port),
        "PASSWORD": "secret",
        "NOMAD_SECRETS_DIR": str(secrets),
        "RABBITMQ_NODENAME": "ticketflow@localhost",
        "RABBITMQ_MNESIA_BASE": str(tmp_path / "mnesia"),
        "RABBITMQ_LOG_BASE": str(tmp_path / "log-base"),
        # Other than on a node of its own, Erlang's ports may be somebody else's here.
        "ERL_EPMD_PORT": str(epmd),
        "ERL_EPMD_ADDRESS": "127.0.0.1",
        "RABBITMQ_DIST_PORT": str(nodes),
    }
    with (
        running(["epmd", "-port", str(epmd), "-address", "127.0.0.1"], {}, secrets),
        running(["/bin/sh", str(serve)], env, tmp_path) as process,
    ):
        until(lambda: asyncio.run(check_rabbitmq(f"amqp://ticketflow:secret@127.0.0.1:{port}/")), tmp_path / "log")
        assert (secrets / "rabbitmq.conf").stat().st_mode & 0o077 == 0
        process.terminate()
        process.wait(30)
