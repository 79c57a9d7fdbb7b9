"""The schema keeps what the public contract promises; fields may be added, none renamed or dropped."""

from __future__ import annotations

from pathlib import Path

from graphql import build_ast_schema, parse
from graphql.utilities import find_breaking_changes

SCHEMA = Path(__file__).parents[2] / "services/gateway/schema.graphql"
SCALARS = "scalar DateTime scalar Date "


def test_nothing_of_the_contract_is_renamed_or_dropped(contract: str) -> None:
    promised = build_ast_schema(parse(SCALARS + contract))
    actual = build_ast_schema(parse(SCHEMA.read_text("utf-8")))
    assert len(promised.type_map) > 20
    assert [change.description for change in find_breaking_changes(promised, actual)] == []


def test_what_the_contract_keeps_to_members_is_authorized(contract: str) -> None:
    def authorized(text: str) -> set[str]:
        lines = (line.split("#")[0].strip() for line in text.splitlines())
        return {line.split("(")[0].split(":")[0] for line in lines if line.endswith("@authorized")}

    assert len(authorized(contract)) == 6
    assert authorized(contract) == authorized(SCHEMA.read_text("utf-8"))
