"""The command as people meet it: ready, restartable, gone after Ctrl-C, and plain about what it cannot do."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from redis import Redis

from services.apphost.process import descendants
from services.apphost.sockets import ask, control_file
from services.apphost.system import running_system
from tests.apphost.stage import runs

UP = [sys.executable, "-m", "services.apphost", "--free-ports", "--volatile", "--state"]


def environment() -> dict[str, str]:
    return {key: value for key, value in os.environ.items() if not key.startswith("TICKETFLOW_")}


def fails(arguments: list[str], **env: str) -> str:
    run = subprocess.run(arguments, env=environment() | env, capture_output=True, text=True, timeout=60, check=False)
    assert run.returncode == 2, run.stdout + run.stderr
    assert "Traceback" not in run.stdout + run.stderr
    return run.stderr


def test_state_survives_a_restart_and_nothing_else_does(tmp_path: Path) -> None:
    for expected in (None, b"kept"):
        with running_system(tmp_path, "redis", "postgres") as system:
            with Redis.from_url(system.urls["redis"]) as client:
                assert client.get("key") == expected
                client.set("key", b"kept")
            pids = [system.pid("redis"), system.pid("postgres")]
            pids += descendants(pids[1])
        assert not [pid for pid in pids if Path(f"/proc/{pid}").exists()]


def test_what_is_left_out_does_not_run_and_nobody_looks_for_it(tmp_path: Path) -> None:
    with running_system(tmp_path, "mailbox", without=("consul",)) as system:
        parts = ask(control_file(tmp_path), "GET", "/parts")["parts"]
        assert [part["name"] for part in parts] == ["mailbox"]
        assert parts[0]["health"]["status"] == "pass"
        environ = Path(f"/proc/{system.pid('mailbox')}/environ").read_bytes().split(b"\0")
    assert b"CONSUL_HTTP_ADDR=" in environ
    assert not [entry for entry in environ if entry.startswith(b"OTEL_EXPORTER_OTLP_ENDPOINT=")]


def test_the_control_socket_is_named_and_gone_with_the_system(tmp_path: Path) -> None:
    with running_system(tmp_path, "redis"):
        control = Path(json.loads((tmp_path / "system.json").read_text())["control"])
        assert ask(control, "GET", "/parts/redis")["state"] == "running"
    assert not control.exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_stops_everything_in_time(tmp_path: Path, number: signal.Signals) -> None:
    with subprocess.Popen([*UP, str(tmp_path), "up", "redis"], env=environment(), stdout=subprocess.PIPE) as up:
        pid = _pid_once_ready(tmp_path, "redis")
        began = time.monotonic()
        up.send_signal(number)
        assert up.wait(12) == 0
        assert time.monotonic() - began < 10
    assert not Path(f"/proc/{pid}").exists()


def test_not_even_a_killed_app_host_leaves_a_server(tmp_path: Path) -> None:
    with subprocess.Popen([*UP, str(tmp_path), "up", "redis"], env=environment(), stdout=subprocess.PIPE) as up:
        pid = _pid_once_ready(tmp_path, "redis")
        up.kill()
    deadline = time.monotonic() + 5
    while runs(pid):
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_a_server_named_in_the_environment_is_used(tmp_path: Path, redis_url: str) -> None:
    env = environment() | {"TICKETFLOW_REDIS_URL": redis_url}
    with subprocess.Popen([*UP, str(tmp_path), "up", "redis"], env=env, stdout=subprocess.PIPE, text=True) as up:
        facts = _facts_once_ready(tmp_path)
        up.terminate()
    assert facts["urls"]["redis"] == redis_url
    assert facts["pids"] == {}


def test_a_taken_port_is_one_sentence(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        with suppress(OSError):  # a `make up` beside us holds it: as good
            holder.bind(("127.0.0.1", 16379))
            holder.listen()
        said = fails([sys.executable, "-m", "services.apphost", "--state", str(tmp_path), "up", "redis"])
    assert "Port 16379, which redis needs, is taken by " in said
    assert "Stop that program" in said


def test_a_missing_program_is_one_sentence(tmp_path: Path) -> None:
    said = fails([*UP, str(tmp_path), "up", "redis"], PATH="/nowhere")
    assert "is missing" in said
    assert "make setup" in said


def test_an_unreachable_server_from_elsewhere_is_one_sentence(tmp_path: Path) -> None:
    said = fails([*UP, str(tmp_path), "up", "redis"], TICKETFLOW_REDIS_URL="nonsense")
    assert "TICKETFLOW_REDIS_URL is not a URL" in said


def _facts_once_ready(state: Path) -> dict[str, dict[str, str]]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        try:
            facts: dict[str, dict[str, str]] = json.loads((state / "system.json").read_text())
        except FileNotFoundError:
            facts = {}
        if facts.get("ready"):
            return facts
        time.sleep(0.02)
    raise TimeoutError("it did not become ready")


def _pid_once_ready(state: Path, part: str) -> int:
    return int(_facts_once_ready(state)["pids"][part])
