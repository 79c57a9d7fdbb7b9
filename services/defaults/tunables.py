"""Settings that change while the process runs: by a file and SIGHUP, without a restart.

    live = follow(Settings, os.environ)
    limiter = Limiter(counter, lambda: live.current.rates)

TUNABLES_FILE names a file of `KEY=VALUE` lines for settings declared with `tunable=True`, such as Nomad renders
from Consul's KV. They go before the environment's. At SIGHUP the file is read anew, and applies as a whole or,
where anything in it is bad, not at all. Whoever uses such a setting asks `current` for it each time.
"""

from __future__ import annotations

import asyncio
import dataclasses
import logging
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Generic, TypeVar

from services.defaults.logs import set_log_level
from services.defaults.settings import CommonSettings, SettingsError, describe, load

S = TypeVar("S", bound=CommonSettings)

logger = logging.getLogger(__name__)


class Live(Generic[S]):
    """The settings as they are now: those of the environment, and of the file that it names, over them."""

    def __init__(self, cls: type[S], env: Mapping[str, str]) -> None:
        """Raises `SettingsError` naming every bad key, of the environment or of the file."""
        self._cls = cls
        self._env = dict(env)
        self._tunable = {row.key: row.tunable for row in describe(cls)}
        self._current = self._read()

    @property
    def current(self) -> S:
        """Never changed, only replaced: what comes from one look at it fits together."""
        return self._current

    def reload(self) -> None:
        """Reads the file anew and applies it, or leaves everything as it is; the log says which, and why."""
        if not self._current.tunables_file:
            logger.info("SIGHUP changes nothing: there is no TUNABLES_FILE")
            return
        try:
            fresh = self._read()
        except SettingsError as error:
            logger.error("tunables stay as they were", extra={"problems": "; ".join(sorted(error.problems))})
            return
        changed = _changed(self._current, fresh)
        self._current = fresh
        set_log_level(fresh.log_level)
        logger.info("tunables read anew", extra={"changed": ", ".join(changed) or "nothing"})

    def _read(self) -> S:
        """All problems at once: a person should not have to mend the file twice."""
        path = self._env.get("TUNABLES_FILE", "")
        told, problems = _parse(Path(path)) if path else ({}, [])
        problems += [f"{key}: {self._refusal(key)}" for key in told if not self._tunable.get(key)]
        try:
            settings = load(self._cls, self._env | {key: told[key] for key in told if self._tunable.get(key)})
        except SettingsError as error:
            raise SettingsError(*problems, *error.problems) from None
        if problems:
            raise SettingsError(*problems)
        return settings

    def _refusal(self, key: str) -> str:
        return "cannot change while the process runs" if key in self._tunable else "is not a setting"


def follow(cls: type[S], env: Mapping[str, str]) -> Live[S]:
    """The settings of a process that reads them anew at SIGHUP, for as long as the running loop runs.

    Raises `SettingsError` naming every bad key.
    """
    live = Live(cls, env)
    asyncio.get_running_loop().add_signal_handler(signal.SIGHUP, live.reload)
    return live


def _parse(path: Path) -> tuple[dict[str, str], list[str]]:
    """What the file tells by key, and what is wrong with its lines; never with a value, which may be a secret."""
    try:
        lines = path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:  # a ValueError for what is not UTF-8, or no path
        return {}, [f"TUNABLES_FILE: cannot be read ({type(error).__name__})"]
    told: dict[str, str] = {}
    problems = []
    for number, line in enumerate(map(str.strip, lines), 1):
        key, equals, value = (part.strip() for part in line.partition("="))
        if equals and key.isidentifier():
            told[key] = value
        elif line and not line.startswith("#"):
            problems.append(f"TUNABLES_FILE: line {number} is not KEY=VALUE")
    return told, problems


def _changed(before: CommonSettings, after: CommonSettings) -> list[str]:
    names = (entry.name for entry in dataclasses.fields(after))
    return [name.upper() for name in names if getattr(before, name) != getattr(after, name)]
