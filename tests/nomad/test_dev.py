"""What `make nomad-dev` prepares, as far as it can be seen without Nomad."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

import pytest

from nomad.agents import end_leftovers, leftovers, make_room, reserved_ports
from nomad.cluster import Cluster, serving, write_environment
from nomad.place import Ports
from services.apphost.errors import ApphostError
from services.apphost.ports import free_ports
from services.apphost.servers.consul import find_consul
from tests.nomad.hcl import ROOT, load_jobs, parse

ALL = load_jobs()


def dev(state: Path, path: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "nomad.dev", "--state", str(state)]
    return subprocess.run(
        command, cwd=ROOT, env={"PATH": path}, capture_output=True, text=True, timeout=60, check=False
    )


def test_what_is_missing_is_named(tmp_path: Path) -> None:
    result = dev(tmp_path / "state", str(tmp_path))
    assert result.returncode == 2
    assert "These programs are not on PATH: nomad" in result.stdout
    assert ("consul" in result.stdout.splitlines()[1]) == (find_consul() is None)


def test_a_folder_is_one_shop_s(tmp_path: Path) -> None:
    file = str(tmp_path / "lock")
    holder = f"import fcntl; f = open({file!r}, 'a'); fcntl.flock(f, fcntl.LOCK_EX); print(flush=True); input()"
    command = [sys.executable, "-c", holder]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        result = dev(tmp_path, os.environ["PATH"])
        process.communicate(b"\n")
    assert (result.returncode, "already runs from" in result.stdout) == (2, True)


def test_a_port_of_somebody_else_is_left_to_them() -> None:
    with socket.socket() as somebody:
        somebody.bind(("127.0.0.1", 0))
        somebody.listen()
        taken: int = somebody.getsockname()[1]
        chosen = Ports.usual(Ports(ingress=taken))
    assert chosen.ingress != taken
    ports = [*chosen.of_agents(), *chosen.of_jobs()]
    assert len(set(ports)) == len(ports)


@pytest.mark.parametrize(
    ("half", "also", "but", "words"),
    [
        ((20, 25), [], [], "20-25"),
        ((20, 25), [7, 30], [], "7,30,20-25"),
        ((20, 25), [], [22], "20-21,23-25"),
        ((20, 25), [], [20, 25, 19, 26], "21-24"),
        ((20, 25), [], [22, 23], "20-21,24-25"),
    ],
)
def test_clients_reserve_ports_in_words_of_nomad(
    half: tuple[int, int], also: list[int], but: list[int], words: str
) -> None:
    assert reserved_ports(half, also=also, but=but) == words


def test_the_environment_names_only_what_jobs_declare(tmp_path: Path) -> None:
    cluster = Cluster(tmp_path, tmp_path, Ports(ingress=1))
    write_environment(cluster)
    text = cluster.environment.read_text()
    given = parse(text)
    assert set(given) <= {variable for job in ALL.values() for variable in job.variables}
    assert [line.split()[0] for line in text.splitlines() if not line.startswith("#")] == list(given)
    assert (given["ingress_port"], given["environment"]) == (1, "development")


def test_a_folder_that_shuts_the_servers_out_is_named(tmp_path: Path) -> None:
    home = tmp_path / "home"
    state = home / "checkout/state"
    state.mkdir(parents=True)
    for folder, mode in ((home, 0o700), (state.parent, 0o755), (state, 0o755)):
        folder.chmod(mode)
    with pytest.raises(ApphostError, match="accounts of their own") as refusal:
        make_room(state)
    assert f"{home} " in refusal.value.problem
    assert str(state) not in refusal.value.problem


def test_a_task_that_hides_its_environment_is_ended_too(tmp_path: Path) -> None:
    """As nginx's workers do: they write their title over it."""
    task = tmp_path / "nomad/1/alloc/1/nginx"
    task.mkdir(parents=True)
    with (
        subprocess.Popen(["sleep", "60"], cwd=task, env={}) as ours,
        subprocess.Popen(["sleep", "60"], cwd=tmp_path, env={}) as others,
    ):
        assert set(leftovers(tmp_path)) == {ours.pid}
        end_leftovers(tmp_path)
        assert ours.wait(10) == -signal.SIGKILL
        assert others.poll() is None
        others.kill()


class Tasks(Cluster):
    """A cluster in which what was told to stop is seen running once more."""

    def __init__(self, jobs: Sequence[str]) -> None:
        super().__init__(Path(), Path(), Ports())
        self.going, self.stopping = set(jobs), set[str]()
        self.seen: list[str] = []

    def nomad(self, path: str, *, method: str = "GET", body: object = None) -> Any:
        if path == "/v1/jobs":
            return [{"ID": job} for job in self.going]
        if method == "DELETE":
            self.stopping.add(path.removeprefix("/v1/job/"))
            self.seen.append(f"stop {path.removeprefix('/v1/job/')}")
            return None
        answer = [{"JobID": job, "ClientStatus": "running"} for job in self.going]
        self.seen += [f"{job} has ended" for job in sorted(self.going & self.stopping)]
        self.going -= self.stopping
        return answer


def test_servers_stop_after_all_that_use_them_has_ended() -> None:
    cluster = Tasks(["catalog", "gateway", "postgres"])
    cluster.stop_jobs()
    first = ["stop catalog", "stop gateway", "catalog has ended", "gateway has ended"]
    assert cluster.seen == [*first, "stop postgres", "postgres has ended"]


def test_files_of_releases_are_served(tmp_path: Path) -> None:
    (tmp_path / "gateway-1.pex").write_bytes(b"built")
    (port,) = free_ports(1)
    with serving(tmp_path, port):
        with urlopen(f"http://127.0.0.1:{port}/gateway-1.pex", timeout=5) as answer:
            assert answer.read() == b"built"
        with pytest.raises(HTTPError) as refusal:
            urlopen(f"http://127.0.0.1:{port}/gateway-2.pex", timeout=5)
        refusal.value.close()
