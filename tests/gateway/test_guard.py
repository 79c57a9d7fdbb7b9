from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from tartiflette.language.parsers.libgraphqlparser.parser import _parse_to_json_ast

from services.defaults.errors import AppError, Forbidden, Invalid
from services.gateway.guard import (
    FAN_OUT,
    PAGED,
    QueryLimits,
    is_public,
    judge,
    outline_of,
    root_fields,
)
from services.gateway.literals import write_out
from services.gateway.outline import Outline, TooComplex
from tests.gateway.measured import no_collection

LIMITS = QueryLimits()
REFUSED_WITHIN_S = 0.02  # of this process, for the machine may do other things too; it takes under 2 ms

INTROSPECTION = (Path(__file__).parent / "introspection.graphql").read_text("utf-8")


def nested(depth: int, name: str = "a") -> str:
    return "{" + f"{name}{{" * (depth - 1) + "id" + "}" * depth


def laughs(levels: int) -> str:
    """Fragments that each use the next one twice."""
    last = f"fragment f{levels} on Concert {{ id }}"
    others = [f"fragment f{n} on Concert {{ ...f{n + 1} ...f{n + 1} }}" for n in range(levels)]
    return "{ concerts { nodes { ...f0 } } } " + " ".join([*others, last])


BOMBS = {
    "depth 5000": nested(5000),
    "depth 11": nested(11),
    "depth without closing": "{a" * 4000,
    "60 kB": "{" + "a " * 30_000 + "}",
    "500 aliases": "{" + " ".join(f"a{n}: me {{ id }}" for n in range(500)) + "}",
    "16 aliases": "{" + " ".join(f"a{n}: me" for n in range(16)) + "}",
    "501 tokens": "{" + "a " * 499 + "}",
    "circle of one": "{ ...a } fragment a on Query { ...a }",
    "circle of two": "{ ...a } fragment a on Query { ...b } fragment b on Query { ...a }",
    "circle through a field": "{ ...a } fragment a on Query { order { concert { ...a } } }",
    "circle that is not used": "{ me { id } } fragment a on Query { ...a }",
    "laughing fragments": laughs(40),
    "depth in fragments": "{ ...a } "
    + " ".join(f"fragment {a} on T {{ x {{ x {{ x {{ ...{b} }} }} }} }}" for a, b in ("ab", "bc", "cd"))
    + " fragment d on T { x { id } }",
    "directives on one field": "{ me " + "@include(if: true) " * 60 + "{ id } }",
    "directives without meaning": "{ me " + "@a" * 200 + " }",
    "100 kB string": '{ concert(slug: "' + "x" * 100_000 + '") { id } }',
    "9 kB of comment": "#" + "x" * 9000 + "\n{ me { id } }",
    "9 kB in a block string": '{ concert(slug: """' + "x" * 9000 + '""") { id } }',
    "nested lists": "{ concerts(filter: " + "[" * 1000 + "]" * 1000 + ") { totalCount } }",
    "nested objects": "{ concerts(filter: " + "{a: " * 11 + "1" + "}" * 11 + ") { totalCount } }",
    "nested types": "query ($a: " + "[" * 1000 + "Int" + "]" * 1000 + ") { me { id } }",
    "two mutations": 'mutation { a: logout(refreshToken: "a") b: logout(refreshToken: "b") }',
    "two mutations in a fragment": "mutation { ...a ...a } fragment a on Mutation { logout }",
    "two mutations in line": "mutation { ... { logout } ... on Mutation { logout } }",
    "100 aliases of pages": "{" + " ".join(f"a{n}: concerts(first: 100) {{ totalCount }}" for n in range(100)) + "}",
    "fan-out": "{" + " ".join(
        f"a{n}: concerts(first: 100) {{ nodes {{ title artist venue {{ name }} tiers {{ name }} }} }}"
        for n in range(15)
    ) + "}",
    "introspection of introspection": "{ __schema { types"
    + " { fields { type" * 4 + " { name }" + " } }" * 4 + " } }",
    "aliased introspection": "{" + " ".join(
        f"a{n}: __schema {{ types {{ fields {{ args {{ name }} type {{ name }} }} }} }}" for n in range(15)
    ) + "}",
}  # fmt: skip

NONSENSE = {
    "nothing": "",
    "space": " \n,",
    "only a comment": "# me",
    "only a fragment": "fragment a on Query { me { id } }",
    "empty selection": "{ }",
    "open": "{ me",
    "closed twice": "{ me }}",
    "crossed brackets": "{ me(a: [1) ] }",
    "open string": '{ concert(slug: "abc) { id } }',
    "line break in a string": '{ concert(slug: "a\nb") { id } }',
    "open block string": '{ concert(slug: """a) { id } }',
    "no token": "{ me ? }",
    "type definition": "type A { b: Int }",
    "subscription": "subscription { orders { id } }",
    "unknown fragment": "{ ...a }",
    "fragment twice": "{ ...a } fragment a on Query { me } fragment a on Query { me }",
    "NUL": "{ me { id } }\x00{",
    "control character": "{ me\x07 { id } }",
    "half a pair": '{ concert(slug: "\ud800") { id } }',
    "missing value": "{ concerts(first: ) { totalCount } }",
    "missing name": "{ : me }",
    "alias of nothing": "{ a: }",
    "ends in an argument": "{ a(b:",
}


def refused(query: str, variables: Any = None, limits: QueryLimits = LIMITS) -> AppError:
    with pytest.raises(AppError) as raised:
        judge(query, variables or {}, limits)
    assert raised.value.status == 400
    return raised.value


@pytest.mark.parametrize("query", BOMBS.values(), ids=BOMBS.keys())
def test_a_bomb_is_refused_at_once(query: str) -> None:
    with no_collection():
        started = time.process_time()
        error = refused(query)
        took_s = time.process_time() - started
    assert took_s < REFUSED_WITHIN_S
    assert isinstance(error, TooComplex)
    assert error.code == "QUERY_TOO_COMPLEX"


@pytest.mark.parametrize("query", NONSENSE.values(), ids=NONSENSE.keys())
def test_what_is_no_query_is_invalid(query: str) -> None:
    assert refused(query).code == "INVALID"


@pytest.mark.parametrize(
    ("query", "limits"),
    [
        (nested(10), LIMITS),
        ("{" + " ".join(f"a{n}: me" for n in range(15)) + "}", LIMITS),
        ("{" + "a " * 498 + "}", LIMITS),
        ("{ " + "a " * 98 + "}", QueryLimits(max_tokens=100)),
    ],
)
def test_a_query_at_its_limit_passes(query: str, limits: QueryLimits) -> None:
    assert judge(query, {}, limits).operations


def test_brackets_in_strings_and_comments_do_not_count() -> None:
    query = '''
    query Q { # {{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{{ "
      concert(slug: "{{{{{{{{{{{{{{{{{{{{{{{{{{{ \\" }", id: """ {{{{{{{{{{{ " \\""" {{{{{{{{{ # """) { id }
    }'''
    (operation,) = judge(query, {}, LIMITS).operations
    assert (operation.kind, operation.name) == ("query", "Q")
    assert [selection.name for selection in operation.selections if hasattr(selection, "name")] == ["concert"]


def test_a_byte_order_mark_is_ignored() -> None:
    assert judge("\ufeff{ me { id } }", {}, LIMITS).operations


def test_the_length_is_in_bytes() -> None:
    query = '{ concert(slug: "' + "é" * 4090 + '") { id } }'
    assert len(query) < LIMITS.max_query_bytes
    assert refused(query).code == "QUERY_TOO_COMPLEX"


@pytest.mark.parametrize(
    ("query", "variables"),
    [
        ("{ concerts(first: 0) { totalCount } }", {}),
        ("{ concerts(first: 101) { totalCount } }", {}),
        ("{ concerts(first: -5) { totalCount } }", {}),
        ("query ($n: Int) { concerts(first: $n) { totalCount } }", {"n": 101}),
        ("query ($n: Int) { concerts(first: $n) { totalCount } }", {"n": 1000.0}),
        ("query ($n: Int = 101) { concerts(first: $n) { totalCount } }", {}),
        ("query { ...a } fragment a on Query { myOrders(first: 1000) { nodes { id } } }", {}),
    ],
)
def test_a_page_beyond_its_bounds_is_invalid(query: str, variables: Any) -> None:
    error = refused(query, variables)
    assert (error.code, list(error.fields)) == ("INVALID", ["first"])


def test_a_page_costs_what_it_is_long() -> None:
    query = "query ($n: Int = 100) { concerts(first: $n) { nodes { title venue { name } } } }"
    limits = QueryLimits(max_cost=200)
    assert refused(query, limits=limits).code == "QUERY_TOO_COMPLEX"
    assert refused(query, {"n": 100.0}, limits).code == "QUERY_TOO_COMPLEX"
    assert judge(query, {"n": 10}, limits).operations
    assert judge(query, {"n": 9.5}, limits).operations  # no page size either
    assert judge(query, {"n": "a text is for the schema to refuse"}, limits).operations


def test_whole_pages_of_whole_concerts_pass() -> None:
    query = """{ concerts(first: 100) { totalCount pageInfo { hasNextPage endCursor } nodes {
      id slug title artist genre description startsAt doorsAt onSaleAt timeZone saleState available
      venue { id name city country address } priceFrom { amountMinor currency }
      tiers { id name includes seating capacity available price { amountMinor currency } } } } }"""
    assert judge(query, {}, LIMITS).operations


@pytest.mark.parametrize(
    "variables",
    [
        {"a": [[[[[[[[[[[1]]]]]]]]]]]},
        {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": {"a": 1}}}}}}}}}}},
    ],
)
def test_variables_are_not_nested_without_end(variables: Any) -> None:
    assert refused("{ me { id } }", variables).code == "QUERY_TOO_COMPLEX"


def test_variables_hold_unicode() -> None:
    assert judge("{ me { id } }", {"a": ["😀"]}, LIMITS).operations
    assert refused("{ me { id } }", {"a": ["\ud800"]}).code == "INVALID"
    assert refused("{ me { id } }", {"a": {"\udfff": 1}}).code == "INVALID"


def test_graphiqls_own_introspection_passes_where_it_is_on() -> None:
    assert judge(INTROSPECTION, {}, LIMITS).operations
    with pytest.raises(Forbidden):
        judge(INTROSPECTION, {}, QueryLimits(introspection=False))


@pytest.mark.parametrize(
    "query",
    [
        "{ __type(name: \"Order\") { name } }",
        "{ a: __schema { types { name } } }",
        "{ ... { __schema { types { name } } } }",
        "{ ...a } fragment a on Query { __schema { types { name } } }",
    ],
)  # fmt: skip
def test_introspection_is_found_wherever_it_stands(query: str) -> None:
    with pytest.raises(Forbidden):
        judge(query, {}, QueryLimits(introspection=False))


@pytest.mark.parametrize(
    ("query", "public"),
    [
        ("{ concerts { totalCount } }", True),
        ("{ concerts { totalCount } me { id } }", False),
        ("query A { concert } query B { me }", False),
        ("{ ...a } fragment a on Query { concert }", True),
        ("{ ...a } fragment a on Query { me }", False),
        ("mutation { concerts }", False),
        ("mutation { login }", False),
    ],
)
def test_who_may_share_an_answer(query: str, public: bool) -> None:
    assert is_public(outline_of(query, LIMITS)) == public


def test_every_list_of_objects_has_a_price() -> None:
    """A new list in the schema must be priced, or it is a way round the limit on cost."""
    schema = (Path(__file__).parents[2] / "services/gateway/schema.graphql").read_text("utf-8")
    output_types = re.findall(r"^type \w+ \{(.*?)^\}", schema, re.MULTILINE | re.DOTALL)
    lists = re.findall(r"^  (\w+)(?:\(.*\))?: \[(?!String|ID|Int)", "".join(output_types), re.MULTILINE)
    assert len(lists) >= 6
    assert set(lists) <= set(FAN_OUT)
    paged = re.findall(r"^  (\w+)\(.*first: Int.*\): \w+Connection!", schema, re.MULTILINE)
    assert set(paged) == PAGED


names = st.sampled_from(["a", "on", "query", "fragment", "first", "__typename", "b1", "_"])
strings = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters='"\\'), max_size=8)
values = st.recursive(
    st.one_of(
        st.integers(-(2**40), 2**40).map(str),
        st.floats(allow_nan=False, allow_infinity=False).map(str),
        names.map("${}".format),
        strings.map('"{}"'.format),
        strings.map('"""{}"""'.format),
        st.sampled_from(["true", "null", "ENUM", '"\\""', '"\\\\"', '"""\\""""""']),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: f"[{' '.join(items)}]"),
        st.lists(st.tuples(names, inner), max_size=3).map(
            lambda pairs: "{" + ", ".join(f"{key}: {value}" for key, value in pairs) + "}"
        ),
    ),
    max_leaves=5,
)
arguments = st.lists(st.tuples(names, values), max_size=2).map(
    lambda pairs: "(" + " ".join(f"{key}: {value}" for key, value in pairs) + ")" if pairs else ""
)
directives = st.lists(st.tuples(names, arguments), max_size=1).map(
    lambda items: "".join(f" @{name}{call} " for name, call in items)
)


@st.composite
def selection_sets(draw: st.DrawFn, depth: int = 4) -> tuple[str, int]:
    """A selection set and how many levels of fields it has."""
    written, deepest = [], 1
    for _ in range(draw(st.integers(1, 2 if depth > 2 else 1))):
        below, levels = ("", 0)
        if depth > 1 and draw(st.booleans()):
            below, levels = draw(selection_sets(depth - 1))
        alias = draw(st.sampled_from(["", "alias: "]))
        written.append(f"{alias}{draw(names)}{draw(arguments)}{draw(directives)}{below}#}}\n")
        deepest = max(deepest, 1 + levels)
    return "{" + draw(st.sampled_from([" ", ",", "\t"])).join(written) + "}", deepest


@given(selection_sets(), directives)
def test_what_is_well_formed_is_read_and_measured(selection: tuple[str, int], directive: str) -> None:
    text, depth = selection
    text, depth = "{w" * 8 + text + "}" * 8, depth + 8  # deeper than any of the values, which count too
    query = f"query Q($a: [Int!]! = 3){directive}{text}"
    wide = QueryLimits(max_tokens=5000, max_aliases=100, max_depth=depth)
    with pytest.raises(TooComplex):
        outline_of(query, replace(wide, max_depth=depth - 1))
    (operation,) = (outline := outline_of(query, wide)).operations
    assert (operation.kind, operation.name, operation.defaults) == ("query", "Q", {"a": 3})
    assert root_fields(operation, outline) == {"w": 1}


pieces = st.sampled_from(
    ["{", "}", "(", ")", "[", "]", ":", "!", "$", "@", "...", "=", "|", "&", '"', '"""', "\\", "#", "\n", " ",
     "a", "on", "query", "mutation", "fragment", "first", "1", "-1", "1.5e3", "é", "\ufeff", "\\u00e9"]
)  # fmt: skip


@given(st.one_of(st.text(max_size=60), st.lists(pieces, max_size=25).map("".join)))
@example('{ a(b: """\\""") }')
@example('{ a(b: "\\\\") }')
@example("{ a(b: 1c: 2) }")
def test_the_parser_takes_nothing_that_was_not_read_alike(text: str) -> None:
    """Whatever the guard lets pass, the parser behind it must see with the same structure, or refuse."""
    try:
        outline = outline_of(text, LIMITS)
    except AppError:
        return
    try:
        parsed = _parse_to_json_ast(text).decode("utf-8", "replace")
    except Exception:  # which the engine answers with INVALID
        return
    assert _fields_read(outline) == parsed.count('"kind":"Field"')


def _fields_read(outline: Outline) -> int:
    def count(selections: Any) -> int:
        return sum((type(one).__name__ == "Field") + count(getattr(one, "selections", ())) for one in selections)

    return sum(count(part.selections) for part in outline.operations) + sum(map(count, outline.fragments.values()))


@pytest.mark.parametrize(
    ("written", "read"),
    [
        (r'{ a(b: "caf\u00e9") }', '{ a(b: "café") }'),
        (r'{ a(b: "\ud83d\ude00") }', '{ a(b: "😀") }'),
        (r'{ a(b: "\\u00e9") }', r'{ a(b: "\\u00e9") }'),
        (r'{ a(b: "\u0022\u005c\n") }', r'{ a(b: "\u0022\u005c\n") }'),
        (r'{ a(b: """\u00e9""") }', r'{ a(b: """\u00e9""") }'),
        ("{ a } # \\u00e9", "{ a } # \\u00e9"),
        (r'{ a(b: "x" c: "\u0100") }', '{ a(b: "x" c: "Ā") }'),
    ],
)
def test_escapes_beyond_ascii_are_written_out(written: str, read: str) -> None:
    assert write_out(written) == read


@pytest.mark.parametrize("text", [r'{ a(b: "\u0000") }', r'{ a(b: "\ud83d") }', r'{ a(b: "\ude00\ud83d") }'])
def test_escapes_that_are_no_text_are_invalid(text: str) -> None:
    with pytest.raises(Invalid):
        write_out(text)
