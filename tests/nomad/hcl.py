"""Reads HCL into plain dictionaries, and says what the tests ask of a Nomad job."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import hcl2

ROOT: Final = Path(__file__).parents[2]
JOBS: Final = ROOT / "nomad"

OPTIONS: Final = hcl2.SerializationOptions(with_comments=False, explicit_blocks=False, strip_string_quotes=True)
HEREDOC: Final = re.compile(r'^"?<<-?(?P<mark>\w+)\n(?P<text>.*?\n)\s*(?P=mark)"?$', re.DOTALL)
UNIT_S: Final = {"ms": 0.001, "s": 1, "m": 60, "h": 3600}

Block = Mapping[str, Any]


def parse(text: str) -> dict[str, Any]:
    """The document; a block is a list of dictionaries, by label where it has labels."""
    parsed: dict[str, Any] = hcl2.loads(text, serialization_options=OPTIONS)
    return parsed


def one(blocks: Any) -> Block:
    """The only block of its kind; empty where there is none."""
    assert not blocks or len(blocks) == 1, blocks
    block: Block = blocks[0] if blocks else {}
    return block


def labelled(blocks: Any) -> dict[str, Block]:
    """Blocks of one kind by their label."""
    return {label: body for block in blocks or [] for label, body in block.items()}


def seconds(text: str) -> float:
    """`1m30s` is 90."""
    parts = re.findall(r"(\d+)(ms|s|m|h)", text)
    assert "".join(number + unit for number, unit in parts) == text, text
    return sum(int(number) * UNIT_S[unit] for number, unit in parts)


def heredoc(text: str) -> str:
    found = HEREDOC.match(text)
    return found["text"] if found else text


@dataclass(frozen=True)
class Template:
    text: str
    destination: str
    perms: str
    env: bool
    change_mode: str
    change_signal: str

    @property
    def keys(self) -> set[str]:
        """What an environment template sets by name; keys that a loop over Consul's KV adds are not among them."""
        return set(re.findall(r"(?:^|\}\})([A-Z][A-Z0-9_]*)=", self.text, re.MULTILINE)) if self.env else set()


@dataclass(frozen=True)
class Task:
    name: str
    body: Block

    @property
    def env(self) -> dict[str, str]:
        return {key: str(value) for key, value in one(self.body.get("env")).items()}

    @property
    def config(self) -> Block:
        return one(self.body["config"])

    @property
    def templates(self) -> list[Template]:
        return [
            Template(
                heredoc(body["data"]),
                body["destination"],
                body.get("perms", "0644"),
                body.get("env") in (True, "true"),
                body.get("change_mode", "restart"),
                body.get("change_signal", ""),
            )
            for body in self.body.get("template", [])
        ]

    @property
    def given(self) -> set[str]:
        """Every environment key that the task's process finds set by name."""
        return set(self.env).union(*(template.keys for template in self.templates))

    def script(self, name: str) -> str:
        """The text of the template at local/<name>."""
        (text,) = (each.text for each in self.templates if each.destination == f"local/{name}")
        return text


@dataclass(frozen=True)
class Group:
    name: str
    body: Block

    @property
    def tasks(self) -> dict[str, Task]:
        return {name: Task(name, body) for name, body in labelled(self.body["task"]).items()}

    @property
    def service(self) -> Block:
        """The one that bears the job's name; a further one is only another name for another port."""
        first: Block = self.body.get("service", [{}])[0]
        return first

    @property
    def checks(self) -> dict[str, Block]:
        return {check["name"]: check for check in self.service.get("check", [])}

    @property
    def volumes(self) -> dict[str, Block]:
        return labelled(self.body.get("volume"))

    @property
    def ports(self) -> dict[str, Block]:
        return labelled(one(self.body.get("network")).get("port"))


@dataclass(frozen=True)
class Job:
    """One file of nomad/."""

    text: str

    @cached_property
    def document(self) -> dict[str, Any]:
        return parse(self.text)

    @property
    def name(self) -> str:
        (name,) = labelled(self.document["job"])
        return name

    @property
    def body(self) -> Block:
        return labelled(self.document["job"])[self.name]

    @property
    def type(self) -> str:
        return str(self.body["type"])

    @property
    def variables(self) -> dict[str, Block]:
        return labelled(self.document.get("variable"))

    @property
    def update(self) -> Block:
        return one(self.body.get("update"))

    @property
    def groups(self) -> list[Group]:
        return [Group(name, body) for name, body in labelled(self.body["group"]).items()]

    @property
    def tasks(self) -> Iterator[Task]:
        for group in self.groups:
            yield from group.tasks.values()


def load_jobs() -> dict[str, Job]:
    return {path.name.removesuffix(".nomad.hcl"): Job(path.read_text()) for path in sorted(JOBS.glob("*.nomad.hcl"))}
