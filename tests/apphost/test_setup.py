"""The set-up scripts where they cannot do all they should: they say so in a sentence, and change nothing."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"
TOOLS = ("sh", "dirname", "rm", "awk", "cut", "sha256sum", "cat", "tr", "sed", "ls")


class Machine:
    """A checkout, and a PATH with nothing but basic tools and what a test puts there."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        self._bin = folder / "bin"
        self._bin.mkdir()
        shutil.copytree(SCRIPTS, self.checkout / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
        (self.checkout / "requirements.lock").touch()
        for tool in TOOLS:
            (self._bin / tool).symlink_to(str(shutil.which(tool)))

    def put(self, program: str, script: str) -> None:
        file = self._bin / program
        file.write_text(f"#!/bin/sh\n{script}\n")
        file.chmod(0o755)

    def run(self, script: str) -> subprocess.CompletedProcess[str]:
        command = ["sh", str(self.checkout / "scripts" / script)]
        path = {"PATH": str(self._bin)}
        return subprocess.run(command, env=path, capture_output=True, text=True, timeout=30, check=False)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_a_consul_on_path_is_enough(machine: Machine) -> None:
    machine.put("consul", "exit 0")
    run = machine.run("get_consul.sh")
    assert (run.returncode, run.stdout, run.stderr) == (0, "", "")
    assert not (machine.checkout / ".ticketflow").exists()


def test_where_consul_cannot_be_had_the_shop_does_without(machine: Machine) -> None:
    run = machine.run("get_consul.sh")
    assert run.returncode == 0
    assert "without Consul, on fixed addresses" in run.stderr


def test_without_a_fitting_python_setup_says_which_it_wants(machine: Machine) -> None:
    machine.put("python3", "exit 1")
    run = machine.run("setup.sh")
    assert run.returncode == 2
    assert "no Python from 3.11 to 3.13" in run.stderr


def test_without_root_and_sudo_setup_names_the_packages(machine: Machine) -> None:
    machine.put("python3", f'exec "{sys.executable}" "$@"')
    machine.put("apt-get", "exit 1")
    machine.put("id", "echo 1000")
    run = machine.run("setup.sh")
    assert run.returncode == 2
    assert "redis-server" in run.stderr
    assert "as root, or install sudo" in run.stderr
    assert not (machine.checkout / ".venv").exists()
