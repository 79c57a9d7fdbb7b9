"""The house rules that a reviewer would otherwise have to remember."""

from __future__ import annotations

import ast
import re
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from scripts.settings_table import settings_table

ROOT = Path(__file__).parents[1]
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_ENTRY_POINT_LINES = 80
GENERATED = re.compile(r"_pb2|_grpc\.py|/migrations/")
IGNORE = re.compile(r"#\s*(?:noqa|type:\s*ignore)(?P<code>:\s*[A-Z0-9, ]+|\[[\w, -]+\])?(?P<reason>.*)$")
ROUTE_VERBS = {"get", "post", "put", "patch", "delete", "route"}
AUTHORIZATIONS = {"authenticated", "public", "_api_key_needed", "_signed"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


def sources(*folders: str) -> list[Path]:
    found = [path for folder in folders for path in (ROOT / folder).rglob("*.py")]
    return [path for path in found if not GENERATED.search(str(path))]


def functions(*folders: str) -> Iterator[tuple[str, Function]]:
    for path in sources(*folders):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
                yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node


def length(function: Function) -> int:
    return (function.end_lineno or function.lineno) - function.lineno + 1


def lint_imports(root: Path) -> subprocess.CompletedProcess[str]:
    program = Path(sys.executable).with_name("lint-imports")
    return subprocess.run(
        [program, "--no-cache"],
        check=False,
        cwd=root,
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
        timeout=110,
    )


def test_imports_go_one_way() -> None:
    result = lint_imports(ROOT)
    assert result.returncode == 0, result.stdout


def test_a_broken_import_rule_is_noticed(tmp_path: Path) -> None:
    for name in ("services", "protos"):
        shutil.copytree(ROOT / name, tmp_path / name)
    shutil.copy(ROOT / ".importlinter", tmp_path)
    with (tmp_path / "services/identity/domain.py").open("a") as domain:
        domain.write("\nimport os\nfrom services.catalog import store\n")
    result = lint_imports(tmp_path)
    assert result.returncode != 0
    assert "services.identity.domain -> services.catalog.store" in result.stdout


def test_files_stay_small() -> None:
    sizes = {str(path): len(path.read_text().splitlines()) for path in sources("services", "tests")}
    assert {path: size for path, size in sizes.items() if size > MAX_FILE_LINES} == {}


def test_functions_stay_short() -> None:
    sizes = {name: length(node) for name, node in functions("services")}
    assert {name: size for name, size in sizes.items() if size > MAX_FUNCTION_LINES} == {}
    assert statistics.median(sizes.values()) <= 12
    assert statistics.quantiles(sizes.values(), n=10)[-1] <= 35


@pytest.mark.parametrize("path", sorted((ROOT / "services").glob("*/__main__.py")), ids=lambda path: path.parent.name)
def test_entry_points_read_like_a_table_of_contents(path: Path) -> None:
    assert len(path.read_text().splitlines()) <= MAX_ENTRY_POINT_LINES


def test_every_ignore_carries_its_reason() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in sources("services", "tests")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if path != Path(__file__)
        if (match := IGNORE.search(line)) and not (match["code"] and re.search(r"\w{3}", match["reason"]))
    ]
    assert not bare


def test_every_route_says_who_may_call_it_and_how_often() -> None:
    silent = [name for name, node in functions("services") if is_route(node) and not declares_both(node)]
    assert not silent


def is_route(function: Function) -> bool:
    return any(
        isinstance(decorator, ast.Call)
        and isinstance(decorator.func, ast.Attribute)
        and decorator.func.attr in ROUTE_VERBS
        for decorator in function.decorator_list
    )


def declares_both(function: Function) -> bool:
    names = {decorator_name(decorator) for decorator in function.decorator_list}
    limited = any(name.startswith(("rate_", "limited")) for name in names)
    return bool(names & AUTHORIZATIONS) and limited


def decorator_name(decorator: ast.expr) -> str:
    target = decorator.func if isinstance(decorator, ast.Call) else decorator
    return target.attr if isinstance(target, ast.Attribute) else getattr(target, "id", "")


def test_the_readme_lists_every_setting() -> None:
    assert settings_table() in (ROOT / "README.md").read_text(), "run `make docs`"


def test_nothing_names_a_registry_or_a_machine() -> None:
    hosts = re.compile(r"pypi\.or[g]|pythonhoste[d]|npmjs\.or[g]|deb\.debian\.or[g]")
    named = []
    for name in tracked_files():
        path = ROOT / name
        if path.is_file() and hosts.search(path.read_text(errors="replace")):
            named.append(name)
    assert not named


def tracked_files() -> list[str]:
    """Of the repository, whoever owns it; all that there are where the sources came without one."""
    if not (ROOT / ".git").exists():
        return [str(path.relative_to(ROOT)) for path in ROOT.rglob("*") if not {".venv", ".ticketflow"} & {*path.parts}]
    command = ["git", "-c", "safe.directory=*", "ls-files", "-z"]
    listed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in listed.stdout.split("\0") if name]
