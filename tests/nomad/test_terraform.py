"""Terraform's files, without its providers: each parses, every reference leads somewhere, no secret is written."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.nomad.hcl import JOBS, ROOT, labelled, load_jobs, one, parse

TERRAFORM = ROOT / "terraform"
MODULES = sorted({path.parent for path in TERRAFORM.rglob("*.tf")})
ENVIRONMENTS = {name: TERRAFORM / "environments" / name for name in ("dev", "prod")}
REFERENCE = re.compile(r"\b(var|local|module|data)\.([a-z_]\w*)(?:\.([a-z_]\w*))?")
TESTED = sorted({path.parents[1] for path in TERRAFORM.rglob("*.tftest.hcl")})
SPOKEN_OF = re.compile(r"(?<![\w.\"/])(output|var|(?:consul|nomad|random|terraform)_\w+)\.(\w+)")
STAGE = re.compile(r'module "(\w+)" \{\n\s+source += .*\n\s+depends_on = \[module\.(\w+)\]')


def document(folder: Path) -> dict[str, list[Any]]:
    """All files of one module as one."""
    merged: dict[str, list[Any]] = {}
    for path in sorted(folder.glob("*.tf")):
        for kind, blocks in parse(path.read_text()).items():
            merged.setdefault(kind, []).extend(blocks)
    return merged


def text_of(folder: Path) -> str:
    return "\n".join(path.read_text() for path in sorted(folder.glob("*.tf")))


def code_of(folder: Path) -> str:
    return re.sub(r"(?m)(^|\s)#.*$", "", text_of(folder))


def resources(module: dict[str, list[Any]], kind: str) -> set[tuple[str, str]]:
    return {(type_, name) for block in module.get(kind, []) for type_, named in block.items() for name in named}


def dangling(folder: Path) -> Iterator[str]:
    """References of the module to something that is not there."""
    module, code = document(folder), code_of(folder)
    known = {
        "var": set(labelled(module.get("variable"))),
        "local": {name for block in module.get("locals", []) for name in block},
        "module": set(labelled(module.get("module"))),
    }
    data = resources(module, "data")
    for kind, name, attribute in REFERENCE.findall(code):
        if (kind == "data" and (name, attribute) not in data) or (kind != "data" and name not in known[kind]):
            yield f"{kind}.{name}"
    managed = resources(module, "resource")
    for type_, name in re.findall(
        r"(?<![\w.\"/-])((?:consul|nomad|random)_\w+)\.(\w+)", re.sub(r"data\.\w+\.\w+", "", code)
    ):
        if (type_, name) not in managed:
            yield f"{type_}.{name}"


@pytest.mark.parametrize("folder", MODULES, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_every_reference_leads_somewhere(folder: Path) -> None:
    assert list(dangling(folder)) == []
    module = document(folder)
    used = {name for kind, name, _ in REFERENCE.findall(code_of(folder)) if kind == "var"}
    assert set(labelled(module.get("variable"))) == used


def test_a_dangling_reference_is_noticed(tmp_path: Path) -> None:
    (tmp_path / "main.tf").write_text(
        'resource "consul_keys" "a" {\n  x = var.gone\n  y = local.gone\n  z = consul_keys.gone.id\n'
        "  w = data.consul_keys.gone.id\n  v = module.gone.id\n  u = consul_keys.a.id\n}\n"
    )
    assert sorted(dangling(tmp_path)) == [
        "consul_keys.gone",
        "data.consul_keys",
        "local.gone",
        "module.gone",
        "var.gone",
    ]


@pytest.mark.parametrize("folder", MODULES, ids=lambda folder: f"{folder.parent.name}-{folder.name}")
def test_modules_get_what_they_ask_for(folder: Path) -> None:
    for label, call in labelled(document(folder).get("module")).items():
        source = (folder / call["source"]).resolve()
        assert source in MODULES
        module = document(source)
        asked = labelled(module.get("variable"))
        given = set(call) - {"source", "depends_on", "providers", "for_each"}
        assert given <= set(asked)
        assert {variable for variable, body in asked.items() if "default" not in body} <= given
        outputs = set(labelled(module.get("output")))
        read = re.findall(rf"module\.{label}\.(\w+)", code_of(folder))
        assert set(read) <= outputs


def provider_versions(folder: Path) -> dict[str, str]:
    required = one(one(document(folder)["terraform"]).get("required_providers"))
    return {name: str(body["version"]) for name, body in required.items()}


def test_environments_pin_every_provider_that_their_modules_need() -> None:
    for folder in ENVIRONMENTS.values():
        pinned = provider_versions(folder)
        assert all(re.fullmatch(r"\d+\.\d+\.\d+", version) for version in pinned.values())
        for module in (folder for folder in MODULES if folder.parent.name == "modules"):
            for name, bound in provider_versions(module).items():
                major_minor = re.fullmatch(r"~> (\d+)\.(\d+)", bound)
                assert major_minor is not None
                major, minor, _ = (int(part) for part in pinned[name].split("."))
                assert (major, minor >= int(major_minor[2])) == (int(major_minor[1]), True)


def secret_literals(text: str) -> list[str]:
    """Attributes that are called like a secret and have a literal for a value."""
    named = re.compile(r'(?im)^\s*\w*(?:password|secret|token|api_key|private_key)\w*\s*=\s*"(?!\$\{)[^"]+"')
    return named.findall(text) + re.findall(r"\b[0-9a-f]{32,}\b", text)


def test_no_secret_is_written_down() -> None:
    for folder in MODULES:
        assert secret_literals(code_of(folder)) == []
    assert secret_literals('  db_password = "hunter2"\n')
    assert secret_literals(f'  x = "{"0af1" * 8}"\n')


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_terraform_and_deploy_sh_tell_the_jobs_the_same(name: str) -> None:
    values = one(document(ENVIRONMENTS[name])["locals"])["values"]
    for key, value in parse((JOBS / f"vars/{name}.hcl").read_text()).items():
        assert values[key] == (f"${{jsonencode({json.dumps(value)})}}" if isinstance(value, list) else str(value))


@pytest.mark.parametrize("name", ENVIRONMENTS)
def test_terraform_runs_every_job_of_the_environment_in_the_order_of_deploy_sh(name: str) -> None:
    calls = labelled(document(ENVIRONMENTS[name])["module"])
    stages = [set(call["jobs"]) for call in calls.values() if "jobs" in call]
    only_dev = {"mailbox", "seed"}
    assert set().union(*stages) == set(load_jobs()) - (set() if name == "dev" else only_dev)
    order = ["postgres", "migrate", "gateway", "ingress"]
    places = [next(place for place, stage in enumerate(stages) if job in stage) for job in order]
    assert places == sorted(places)
    waits_for = dict(STAGE.findall(text_of(ENVIRONMENTS[name])))
    assert set(waits_for) == {label for label, call in calls.items() if "jobs" in call}
    assert all(list(calls).index(before) < list(calls).index(label) for label, before in waits_for.items())


def quoted(text: object) -> set[str]:
    return set(re.findall(r'"([\w/-]+)"', str(text)))


def test_the_seed_script_and_terraform_make_the_same_secrets() -> None:
    made = document(TERRAFORM / "modules/secrets")["resource"][0]["random_password"]["this"]["for_each"]
    seeded = re.search(r"^SECRETS: Final = \((.*?)^\)", (ROOT / "consul/seed.py").read_text(), re.DOTALL | re.MULTILINE)
    assert seeded is not None
    assert quoted(made) == quoted(seeded[1])


def test_each_job_s_variable_holds_the_secrets_that_it_reads() -> None:
    readers = one(document(TERRAFORM / "modules/nomad")["locals"])["readers"]
    for name, job in load_jobs().items():
        texts = "".join(template.text for task in job.tasks for template in task.templates)
        read = set(re.findall(r'key "ticketflow/secrets/([^"]+)"', texts)) - {"smtp-password"}  # the mail server's
        assert set(readers.get(name, [])) == read, name


@pytest.mark.parametrize("folder", TESTED, ids=lambda folder: folder.name)
def test_a_module_s_tests_speak_of_what_it_has(folder: Path) -> None:
    module = document(folder)
    known = {"var": set(labelled(module.get("variable"))), "output": set(labelled(module.get("output")))}
    for type_, name in resources(module, "resource"):
        known.setdefault(type_, set()).add(name)
    for path in folder.glob("tests/*.tftest.hcl"):
        test = parse(path.read_text())
        assert set(labelled(test.get("mock_provider"))) <= set(provider_versions(folder))
        assert set(one(test.get("variables"))) <= known["var"]
        for run in labelled(test["run"]).values():
            said = str(run.get("assert"))
            assert {kind for kind, _ in SPOKEN_OF.findall(said)}
            assert all(name in known.get(kind, set()) for kind, name in SPOKEN_OF.findall(said))
