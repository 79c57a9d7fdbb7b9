"""What `make dist` makes: a file that needs nothing beside it, and the image that is made of it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection
from pathlib import Path
from zipfile import ZipFile

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from scripts.dist import build, fetch_wheels, prove, services, write_sums
from scripts.packages import ROOT, Packages, read_lock
from services.apphost.ports import free_ports
from tests.conftest import PostgresServer
from tests.nomad.processes import running, until
from tests.nomad.rules import SERVICES

# Each file takes some ten seconds of CPU, and the first run after a change of the lock fetches the wheels.
pytestmark = pytest.mark.timeout(600)

RELEASE = "1.2.3-test"
BARE_PYTHON = str(Path(sys.base_prefix) / f"bin/python3.{sys.version_info.minor}")  # it knows nothing of .venv
INSTRUCTION = re.compile(r"(?m)^([A-Z]+) (.*)$")
DOCKERFILE = [(found[1], found[2]) for found in INSTRUCTION.finditer((ROOT / "Dockerfile").read_text())]


@pytest.fixture(scope="module")
def needs() -> dict[str, set[str]]:
    packages = Packages()
    return {name: packages.needed_by(name) for name in services()}


@pytest.fixture(scope="module")
def pins() -> dict[str, str]:
    return read_lock((ROOT / "requirements.lock").read_text())


@pytest.fixture(scope="module")
def wheels(needs: Mapping[str, set[str]], pins: Mapping[str, str]) -> Path:
    return fetch_wheels({name: pins[name] for name in set().union(*needs.values())})


@pytest.fixture(scope="module")
def mailbox(needs: Mapping[str, set[str]], wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build("mailbox", RELEASE, needs["mailbox"], wheels, tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Where the files unpack themselves, once for all tests."""
    return {"PEX_ROOT": str(tmp_path_factory.mktemp("pex"))}


def unpack(made: Path, env: Mapping[str, str]) -> None:
    """The first start of a file takes its time; this is it."""
    command = [BARE_PYTHON, str(made), "-c", ""]
    subprocess.run(command, env={"PEX_INTERPRETER": "1", **env}, check=True, timeout=300)


def health(port: int) -> dict[str, object]:
    """What /health says. Raises `OSError` while nobody answers there, `AssertionError` while it is not well."""
    connection = HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", "/health")
        answer = connection.getresponse()
        report: dict[str, object] = json.load(answer)
    finally:
        connection.close()
    assert answer.status == 200, report
    return report


def test_there_is_a_file_for_every_service() -> None:
    assert set(services()) >= set(SERVICES)


def test_a_file_takes_what_its_service_imports_and_no_tools(
    needs: Mapping[str, set[str]], pins: Mapping[str, str]
) -> None:
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())
    of_the_shop = {canonicalize_name(Requirement(each).name) for each in declared["project"]["dependencies"]}
    tools = {canonicalize_name(Requirement(each).name) for each in declared["dependency-groups"]["dev"]} - of_the_shop
    for needed in needs.values():
        assert {"quart", "hypercorn", "opentelemetry-sdk", "aiohttp"} <= needed <= set(pins)
        assert not needed & tools
    for package, takers in {
        "tartiflette": {"gateway"},
        "fpdf2": {"notifications"},
        "argon2-cffi": {"identity"},
        "tortoise-orm": {"catalog", "identity", "ordering"},
    }.items():
        assert {name for name in needs if package in needs[name]} == takers


def test_every_package_is_pinned_by_hash_for_each_patch_release(
    needs: Mapping[str, set[str]], pins: Mapping[str, str]
) -> None:
    assert all(re.fullmatch(r"\S+==\S+( \\\n    --hash=sha256:[0-9a-f]{64})+", pin) for pin in pins.values())
    assert "async-timeout" in pins  # the lock has it for Python before 3.11.3 only
    assert "async-timeout" in needs["notifications"]
    assert "colorama" not in pins  # it is for Windows


def test_the_same_input_makes_the_same_bytes(
    needs: Mapping[str, set[str]], wheels: Path, mailbox: Path, tmp_path: Path
) -> None:
    mask = os.umask(0o077)
    try:
        again = build("mailbox", RELEASE, needs["mailbox"], wheels, tmp_path)
    finally:
        os.umask(mask)
    assert again.name == f"mailbox-{RELEASE}.pex"
    assert again.read_bytes() == mailbox.read_bytes()
    write_sums(tmp_path)
    check = ["sha256sum", "--check", "--quiet", "SHA256SUMS"]
    assert subprocess.run(check, cwd=tmp_path, check=False).returncode == 0
    again.write_bytes(again.read_bytes() + b"!")
    assert subprocess.run(check, cwd=tmp_path, capture_output=True, check=False).returncode == 1


def test_a_file_holds_one_service_with_its_data(mailbox: Path) -> None:
    ours = {name for name in ZipFile(mailbox).namelist() if not name.startswith((".deps/", ".bootstrap/"))}
    folders = {name.split("/")[1] for name in ours if name.startswith("services/") and name.count("/") > 1}
    assert folders == {"defaults", "mailbox"}
    roots = (ROOT / "protos", *(ROOT / "services" / name for name in folders))
    there = [path for root in roots for path in root.rglob("*")]
    assert {str(path.relative_to(ROOT)) for path in there if path.is_file() and path.suffix != ".pyc"} <= ours
    assert not [name for name in ours if name.startswith(("tests/", "web/")) or name.endswith(".pyc")]


def test_a_file_that_lacks_a_package_is_no_file(mailbox: Path) -> None:
    with pytest.raises(subprocess.CalledProcessError):
        prove(mailbox, "ordering")


def test_a_file_runs_with_nothing_but_python(mailbox: Path, unpacked: Mapping[str, str], tmp_path: Path) -> None:
    port, smtp = free_ports(2)
    env = {"PORT": str(port), "MAILBOX_SMTP_PORT": str(smtp), "MAILBOX_DIR": str(tmp_path / "mails"), **unpacked}
    unpack(mailbox, unpacked)
    for told, release in (({}, RELEASE), ({"RELEASE": "told"}, "told")):
        with running([BARE_PYTHON, str(mailbox), "serve"], env | told, tmp_path) as process:
            until(lambda: health(port), tmp_path / "log")
            assert health(port)["release"] == release
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 0


def test_ordering_migrates_and_serves_from_its_file(
    needs: Mapping[str, set[str]],
    wheels: Path,
    unpacked: Mapping[str, str],
    postgres: PostgresServer,
    tmp_path: Path,
) -> None:
    made = build("ordering", RELEASE, needs["ordering"], wheels, tmp_path)
    (port,) = free_ports(1)
    secrets = dict.fromkeys(("JWT_SECRET", "SERVICE_TOKEN_SECRET", "PAYMENTS_API_KEY"), "x" * 40)
    env = {"DATABASE_URL": postgres.create_database("dist"), "PORT": str(port), **secrets, **unpacked}
    with running([BARE_PYTHON, str(made), "migrate"], env, tmp_path) as migration:
        assert migration.wait(300) == 0, (tmp_path / "log").read_text()
    with running([BARE_PYTHON, str(made)], env | {"RABBITMQ_URL": "amqp://nobody@127.0.0.1:1/"}, tmp_path):
        until(lambda: health(port), tmp_path / "log")
        assert health(port)["service"] == "ordering"


@pytest.mark.parametrize("arguments", [["../1", "mailbox"], ["", "mailbox"], ["1", "apphost"], ["1", "nobody"]])
def test_what_cannot_be_made_is_refused(arguments: list[str], tmp_path: Path) -> None:
    command = [sys.executable, "-m", "scripts.dist", *arguments, f"--into={tmp_path / 'dist'}"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=60, check=False)
    assert (result.returncode, (tmp_path / "dist").exists()) == (2, False)


def words(instruction: str) -> list[str]:
    """The words of the only such instruction, which is in the form that no shell reads."""
    (text,) = (rest[rest.index("[") :] for name, rest in DOCKERFILE if name == instruction)
    found: list[str] = json.loads(text)
    return found


def test_the_image_is_made_of_the_file_and_of_nothing_else() -> None:
    bases = [rest.split()[0] for name, rest in DOCKERFILE if name == "FROM"]
    assert len(bases) == 2
    assert all(re.fullmatch(r"python:3\.11\.\d+-slim-\w+", base) for base in bases)
    copies = [rest.split()[-2] for name, rest in DOCKERFILE if name == "COPY"]
    assert copies == ["dist/${SERVICE}-${RELEASE}.pex", "/srv/ticketflow"]
    ignored = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    assert ignored == ["*", "!dist/*.pex"]
    user = next(rest for name, rest in reversed(DOCKERFILE) if name == "USER")
    assert int(user.split(":")[0]) > 0
    assert [rest[0] for name, rest in DOCKERFILE if name in ("RUN", "CMD", "ENTRYPOINT")] == ["["] * 3


@contextmanager
def as_the_image_would(mailbox: Path, folder: Path, env: Mapping[str, str]) -> Iterator[tuple[Path, list[str]]]:
    """The Dockerfile's steps, taken under `folder` instead of /; yields the log, and the health check's command."""

    def moved(words: list[str]) -> list[str]:
        places = {"/service.pex": str(mailbox), "python3": BARE_PYTHON}
        return [places.get(word, word.replace("/srv/", f"{folder}/srv/")) for word in words]

    subprocess.run(moved(words("RUN")), env=os.environ | {"PEX_ROOT": str(folder / "pex")}, check=True, timeout=300)
    before = sorted(folder.glob("srv/**/*"))
    (given,) = (rest.split() for name, rest in DOCKERFILE if name == "ENV")
    work = folder / "work"
    work.mkdir()
    command = moved([*words("ENTRYPOINT"), *words("CMD")])
    with running(command, dict(pair.split("=") for pair in given) | dict(env), work):
        yield work / "log", moved(words("HEALTHCHECK"))
    assert sorted(folder.glob("srv/**/*")) == before  # the root is read-only


def test_the_image_s_steps_make_a_service_that_says_that_it_lives(mailbox: Path, tmp_path: Path) -> None:
    port, smtp = free_ports(2)
    env = {"HOST": "127.0.0.1", "PORT": str(port), "MAILBOX_SMTP_PORT": str(smtp)}
    with as_the_image_would(mailbox, tmp_path, env | {"MAILBOX_DIR": str(tmp_path / "mails")}) as (log, check):
        until(lambda: health(port), log)
        assert health(port)["release"] == RELEASE
        assert subprocess.run(check, env={"PORT": str(port)}, timeout=30, check=False).returncode == 0
    assert subprocess.run(check, env={"PORT": str(port)}, capture_output=True, timeout=30, check=False).returncode == 1
