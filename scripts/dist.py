"""Builds one self-contained file per service: `make dist RELEASE=1.2.3 [SERVICES="ordering mailbox"]`.

    dist/<service>-<release>.pex    runs with nothing but Python, of the minor version that built it
    dist/SHA256SUMS                 of every such file in dist/, as `sha256sum --check` reads it

A file holds its service, what all services share, and those packages of requirements.lock that they import, each
checked against its hash as it is fetched. The wheels stay under .ticketflow/ for the next time. The same sources,
lock and Python make the same bytes.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from scripts.packages import MINOR, ROOT, Packages, read_lock

DIST: Final = ROOT / "dist"
KEPT: Final = ROOT / ".ticketflow"
LOCK: Final = ROOT / "requirements.lock"
SHARED: Final = ("protos", "services/__init__.py", "services/contracts.py", "services/defaults")
ALSO: Final = {"gateway": ("web/static", "web/templates")}
NOT_DEPLOYED: Final = {"apphost"}  # it starts the others from their sources, on one machine
LOOSENED: Final = "cffi>=2"  # as in pyproject.toml: tartiflette runs on a newer one than it declares
A_RELEASE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._+-]*")


def services() -> list[str]:
    """Every folder that can be started."""
    found = {path.parent.name for path in (ROOT / "services").glob("*/__main__.py")}
    return sorted(found - NOT_DEPLOYED)


def fetch_wheels(pins: dict[str, str]) -> Path:
    """The folder with a wheel of each; what has no wheel is built here, by the locked setuptools of .venv."""
    text = "".join(f"{pins[name]}\n" for name in sorted(pins))
    wheels = KEPT / f"wheels/{MINOR}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"
    if not wheels.exists():
        with tempfile.TemporaryDirectory(dir=_folder(wheels.parent)) as work:
            (Path(work) / "requirements.txt").write_text(text)
            made = Path(work) / "wheels"
            pip = ["pip", "--quiet", "wheel", "--require-hashes", "--no-deps", "--no-build-isolation"]
            _python(*pip, f"--requirement={work}/requirements.txt", f"--wheel-dir={made}")
            _move(made, wheels)
    return wheels


def build(service: str, release: str, needed: Iterable[str], wheels: Path, into: Path) -> Path:
    """The service's file with the packages that it needs, which `wheels` has, made anew."""
    made = into / f"{service}-{release}.pex"
    with tempfile.TemporaryDirectory() as work:
        sources = Path(work) / "sources"
        _copy_sources((*SHARED, f"services/{service}", *ALSO.get(service, ())), sources)
        _python(
            "pex",
            *sorted(needed),
            f"--pre-resolved-dist={wheels}",
            f"--override={LOOSENED}",
            f"--sources-directory={sources}",
            f"--entry-point=services.{service}",
            f"--inject-env=RELEASE={release}",
            f"--interpreter-constraint=CPython=={MINOR}.*",
            "--venv=prepend",
            "--include-tools",  # the Dockerfile unpacks it by them
            "--no-pre-install-wheels",  # made in half the time; the first start unpacks them in any case
            "--no-use-system-time",
            f"--pex-root={KEPT / 'pex'}",
            f"--output-file={work}/made.pex",
        )
        prove(Path(work) / "made.pex", service)
        shutil.move(Path(work) / "made.pex", made)
    return made


def prove(made: Path, service: str) -> None:
    """Raises `CalledProcessError` if the file lacks a package that the service imports as it starts."""
    with tempfile.TemporaryDirectory() as root:
        env = {"PEX_ROOT": root, "PEX_INTERPRETER": "1", "PATH": os.environ["PATH"]}
        command = [sys.executable, str(made), "-c", f"import services.{service}.__main__"]
        subprocess.run(command, env=env, cwd=root, check=True)  # noqa: S603  # our own file


def write_sums(folder: Path) -> None:
    sums = [f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n" for path in sorted(folder.glob("*.pex"))]
    (folder / "SHA256SUMS").write_text("".join(sums))


def main() -> int:
    arguments = _arguments()
    try:
        make(arguments.services or services(), arguments.release, _folder(arguments.into))
    except subprocess.CalledProcessError as error:  # it has said why itself
        sys.stderr.write(f"dist: {' '.join(error.cmd[1:3])} failed; this service and those after it were not made\n")
        return 1
    return 0


def make(wanted: Iterable[str], release: str, into: Path) -> None:
    packages, pins = Packages(), read_lock(LOCK.read_text())
    needs = {name: packages.needed_by(name) for name in services()}
    wheels = fetch_wheels({name: pins[name] for name in set().union(*needs.values())})
    for service in wanted:
        made = build(service, release, needs[service], wheels, into)
        write_sums(into)
        sys.stdout.write(f"dist: {made.name}, {made.stat().st_size / 1e6:.0f} MB, {len(needs[service])} packages\n")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Builds one self-contained file per service.")
    parser.add_argument("release", type=_release, help="letters, digits and ._+-")
    parser.add_argument("services", nargs="*", type=_service, help=f"of {', '.join(services())}; all if none")
    parser.add_argument("--into", type=Path, default=DIST, help="folder for the files (dist)")
    return parser.parse_args()


def _release(text: str) -> str:
    if not A_RELEASE.fullmatch(text):
        raise argparse.ArgumentTypeError("say which release: make dist RELEASE=1.2.3")
    return text


def _service(text: str) -> str:
    if text not in services():
        raise argparse.ArgumentTypeError(f"{text} is not one of {', '.join(services())}")
    return text


def _copy_sources(paths: Iterable[str], into: Path) -> None:
    """All files, whatever the checkout's umask was, but what Python has compiled."""
    for path in paths:
        for source in [ROOT / path, *(ROOT / path).rglob("*")]:
            if source.is_file() and source.suffix != ".pyc":
                target = into / source.relative_to(ROOT)
                _folder(target.parent)
                shutil.copyfile(source, target)
                target.chmod(0o644)


def _folder(path: Path) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    return path


def _move(made: Path, place: Path) -> None:
    """Whole or not at all; if somebody else was quicker, theirs is as good."""
    try:
        made.rename(place)
    except OSError:
        if not place.exists():
            raise


def _python(*arguments: str) -> None:
    subprocess.run([sys.executable, "-m", *arguments], stdout=subprocess.DEVNULL, check=True)  # noqa: S603  # our own


if __name__ == "__main__":
    sys.exit(main())
