"""Which packages of requirements.lock a service needs: those that it imports, and what they need in turn."""

from __future__ import annotations

import importlib.metadata
import re
import sys
import tomllib
from pathlib import Path
from typing import Final

import grimp
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT: Final = Path(__file__).parents[1]
UNDECLARED: Final = {"py-consul": ("aiohttp",)}  # consul.aio imports it, and the package does not say so
LOCKED: Final = re.compile(
    r"(?m)^(?P<pin>(?P<name>[\w.-]+)==\S+)(?: ; (?P<marker>.+?))?(?P<hashes>(?: \\\n    --hash=\S+)+)$"
)
INSTRUMENTS: Final = "instruments"  # OpenTelemetry's extra: what an instrumentation imports
MINOR: Final = f"{sys.version_info.major}.{sys.version_info.minor}"
# What is built is for every patch release, so it takes what only the first one needs, too.
OLDEST: Final = {"python_version": MINOR, "python_full_version": f"{MINOR}.0"}


class Packages:
    """The shop's imports and declarations, read once."""

    def __init__(self) -> None:
        declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
        self._declared = {canonicalize_name(each.name): each for each in map(Requirement, declared)}
        self._providers = importlib.metadata.packages_distributions()
        self._imports = grimp.build_graph(
            "services", "protos", include_external_packages=True, exclude_type_checking_imports=True
        )

    def needed_by(self, service: str) -> set[str]:
        """Names of all packages, down to the last."""
        found: set[tuple[str, frozenset[str]]] = set()
        waiting = [self._declared.get(canonicalize_name(name), Requirement(name)) for name in self._imported(service)]
        while waiting:
            requirement = waiting.pop()
            key = canonicalize_name(requirement.name), frozenset(requirement.extras)
            if key not in found:
                found.add(key)
                waiting.extend(_requirements_of(requirement))
        return {name for name, _ in found}

    def _imported(self, service: str) -> set[str]:
        modules = self._imports.find_upstream_modules(f"services.{service}", as_package=True)
        return {name for module in modules for name in self._providers.get(module.partition(".")[0], ())}


def _requirements_of(requirement: Requirement) -> list[Requirement]:
    name = canonicalize_name(requirement.name)
    try:
        declared = importlib.metadata.requires(name) or []
    except importlib.metadata.PackageNotFoundError:  # this patch release of Python does without it
        declared = []
    extras = {"", INSTRUMENTS, *requirement.extras}
    needed = [each for each in map(Requirement, declared) if any(_applies(each, extra) for extra in extras)]
    return [*needed, *map(Requirement, UNDECLARED.get(name, ()))]


def _applies(requirement: Requirement, extra: str = "") -> bool:
    return requirement.marker is None or requirement.marker.evaluate(OLDEST | {"extra": extra})


def read_lock(text: str) -> dict[str, str]:
    """By the package's name its requirement with version and hashes, without a marker: as it is for this Python."""
    found: dict[str, str] = {}
    for entry in LOCKED.finditer(text):
        marker = f"; {entry['marker']}" if entry["marker"] else ""
        if _applies(Requirement(entry["pin"] + marker)):
            found[canonicalize_name(entry["name"])] = entry["pin"] + entry["hashes"]
    return found
