"""The dashboard as its own process: it starts, takes telemetry on three ports, and outlives being killed."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import requests
from grpclib.client import Channel, UnaryUnaryMethod

from services.apphost.ports import free_ports
from services.dashboard.ingest.intake import SIGNALS
from services.dashboard.store.schema import open_writer
from tests.conftest import run
from tests.dashboard.support import log, logs, span, spans

ROOT = Path(__file__).parents[2]
COMMAND = [sys.executable, "-m", "services.dashboard"]
START_S = 60
PROTOBUF = {"Content-Type": "application/x-protobuf"}


class Ports:
    def __init__(self) -> None:
        self.pages, self.otlp, self.grpc = free_ports(3)


def environment(state: Path, ports: Ports) -> dict[str, str]:
    return {
        "PATH": os.environ["PATH"],
        "PORT": str(ports.pages),
        "OTLP_PORT": str(ports.otlp),
        "OTLP_GRPC_PORT": str(ports.grpc),
        "DASHBOARD_DB": str(state / "telemetry.db"),
        "OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{ports.otlp}",  # itself: it must not
        "OTEL_METRIC_EXPORT_INTERVAL": "100",
        "DRAIN_S": "0",
    }


@contextmanager
def running(state: Path, ports: Ports) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(COMMAND, cwd=ROOT, env=environment(state, ports))
    try:
        wait_until(lambda: answers(f"http://127.0.0.1:{ports.pages}/health"), process)
        yield process
    finally:
        process.kill()
        process.wait()


def answers(url: str) -> bool:
    try:
        return requests.get(url, timeout=2).status_code == 200
    except requests.ConnectionError:
        return False


def wait_until(condition: Callable[[], bool], process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_S
    while time.monotonic() < deadline and process.poll() is None:
        if condition():
            return
        time.sleep(0.05)
    pytest.fail(f"The dashboard was not ready within {START_S} s (exit code {process.poll()}).")


def post(ports: Ports, path: str, message: Any) -> int:
    url = f"http://127.0.0.1:{ports.otlp}{path}"
    return requests.post(url, data=message.SerializeToString(), headers=PROTOBUF, timeout=10).status_code


async def export(ports: Ports, message: Any) -> None:
    signal_ = SIGNALS[2]
    channel = Channel("127.0.0.1", ports.grpc)
    method: Any = UnaryUnaryMethod(channel, f"/{signal_.service}/Export", signal_.request, signal_.response)
    await method(message, timeout=10)
    channel.close()


def rows(state: Path, table: str) -> int:
    connection = sqlite3.connect(f"file:{state / 'telemetry.db'}?mode=ro", uri=True)
    count: int = connection.execute(f"SELECT count(*) FROM {table}").fetchone()[0]
    connection.close()
    return count


def test_it_serves_keeps_and_stops(tmp_path: Path) -> None:
    ports = Ports()
    with running(tmp_path, ports) as process:
        assert post(ports, "/v1/traces", spans(span(1))) == 200
        run(export(ports, logs(log("by gRPC"))))
        health = requests.get(f"http://127.0.0.1:{ports.pages}/health", timeout=5).json()
        assert (health["service"], health["checks"]["store"]["status"]) == ("dashboard", "pass")
        assert answers(f"http://127.0.0.1:{ports.otlp}/alive")
        assert answers(f"http://127.0.0.1:{ports.pages}/traces")
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 0
    assert (rows(tmp_path, "spans"), rows(tmp_path, "logs")) == (1, 1)
    assert rows(tmp_path, "points") == 0  # nothing about itself


def test_what_it_has_confirmed_outlives_being_killed(tmp_path: Path) -> None:
    ports = Ports()
    with running(tmp_path, ports) as process:
        for number in range(1, 30):
            assert post(ports, "/v1/traces", spans(span(number))) == 200
        process.kill()
        process.wait()
    with running(tmp_path, ports):
        assert post(ports, "/v1/traces", spans(span(30))) == 200
        assert rows(tmp_path, "spans") == 30
    open_writer(tmp_path / "telemetry.db").close()  # reads the whole file, and would move a damaged one aside
    assert not list(tmp_path.glob("*.aside"))


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"HOST": "0.0.0.0"}, "DASHBOARD_TOKEN"),
        ({"DASHBOARD_TOKEN": "short", "OTLP_PORT": "none"}, "OTLP_PORT"),
        ({"DASHBOARD_TOKEN": "short"}, "DASHBOARD_TOKEN"),
        ({"DASHBOARD_DB": __file__}, "DASHBOARD_DB"),
    ],
)
def test_a_bad_setting_stops_the_start(tmp_path: Path, changed: dict[str, str], named: str) -> None:
    env = environment(tmp_path, Ports()) | changed
    outcome = subprocess.run(COMMAND, cwd=ROOT, env=env, capture_output=True, text=True, timeout=60, check=False)
    assert outcome.returncode == 2
    assert named in outcome.stderr
    assert "short" not in outcome.stderr
