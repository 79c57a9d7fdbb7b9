"""Writes the README's settings tables from the services' own declarations (`make docs`)."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

from services.defaults.settings import CommonSettings, Described, describe

README = Path(__file__).parents[1] / "README.md"
BEGIN = "<!-- settings: written by `make docs` -->"
END = "<!-- end of settings -->"
SERVICES = ("gateway", "catalog", "identity", "ordering", "notifications", "payments", "mailbox", "dashboard")


def settings_table() -> str:
    """Markdown: what every process is told, then what each service is told beside it."""
    common = [row for row in describe(CommonSettings) if row.key != "PORT"]
    sections = [_section("Every process", common)]
    for service in SERVICES:
        own = [row for row in describe(_settings(service)) if row not in common]
        sections.append(_section(f"`{service}`", own))
    return "\n".join(sections)


def write_into(readme: Path) -> None:
    """Replaces what stands between the two marks."""
    text = readme.read_text()
    before, rest = text.split(BEGIN, 1)
    after = rest.split(END, 1)[1]
    readme.write_text(f"{before}{BEGIN}\n{settings_table()}{END}{after}")


def _settings(service: str) -> type[Any]:
    settings: type[Any] = importlib.import_module(f"services.{service}.settings").Settings
    return settings


def _section(title: str, rows: list[Described]) -> str:
    lines = [f"| {_key(row)} | {_default(row.default)} | {row.doc} |" for row in rows]
    return "\n".join([f"**{title}**", "", "| key | default | meaning |", "|---|---|---|", *lines, ""])


def _key(row: Described) -> str:
    return f"`{row.key}` ‡" if row.tunable else f"`{row.key}`"


def _default(value: str) -> str:
    return value if value == "required" else f"`{value}`" if value else "empty"


if __name__ == "__main__":
    write_into(README)
