"""Judges a GraphQL request before tartiflette parses it: what it would cost, and whether that is too much.

tartiflette has no limits of its own, and a few kilobytes can hold it for minutes. Everything here is linear
in the length of the request, which is itself limited.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import chain
from typing import Any, Final, TypeVar

from services.defaults.errors import Forbidden, Invalid
from services.gateway.outline import (
    Field,
    Operation,
    Outline,
    Selection,
    Spread,
    TooComplex,
    Variable,
    fields_in,
    malformed,
    read_outline,
    tokenize,
)

T = TypeVar("T")

MAX_FIRST: Final = 100
DEFAULT_FIRST: Final = 20
MAX_NESTING: Final = 32  # brackets of every kind; bounds the reader's recursion, above any depth limit in use
MAX_DIRECTIVES: Final = 20

PUBLIC_FIELDS: Final = frozenset({"concerts", "concert", "concertFacets", "__typename"})

INTROSPECTION_FIELDS: Final = frozenset({"__schema", "__type"})
MAX_INTROSPECTIONS: Final = 2
INTROSPECTION_DEPTH: Final = 20  # GraphiQL's own query has 15 levels
INTROSPECTION_LISTS: Final = frozenset(
    {"types", "fields", "args", "inputFields", "interfaces", "possibleTypes", "enumValues", "directives"}
)
INTROSPECTION_LIST_DEPTH: Final = 3  # types, their fields, the arguments of these; more is a bomb
INTROSPECTION_COST: Final = 25_000  # most of what GraphiQL's query asks for is not there: 20 ms all the same

# How many objects a list stands for when a query is priced. Those with a page size say it themselves.
PAGED: Final = frozenset({"concerts", "myOrders"})
FAN_OUT: Final = {
    "nodes": 1,  # priced by the page size of the field above
    "tiers": 5,
    "lines": 3,
    "tickets": 10,
    "timeline": 5,
    "types": 40,
    "fields": 6,
}


@dataclass(frozen=True, kw_only=True)
class QueryLimits:
    """`max_cost` counts the fields to resolve, those of a list as often as it is expected to be long."""

    max_query_bytes: int = 8 * 1024
    max_depth: int = 10
    max_aliases: int = 15
    max_tokens: int = 500
    max_cost: int = 8_000
    introspection: bool = True


def judge(query: str, variables: Mapping[str, Any], limits: QueryLimits) -> Outline:
    """The outline of a request that may pass.

    Raises `TooComplex`, `Forbidden` (introspection that is off), or `Invalid` where it makes no sense; the
    status of all is 400.
    """
    if len(query.encode("utf-8", "replace")) > limits.max_query_bytes:
        raise TooComplex(f"The query is longer than {limits.max_query_bytes} bytes.")
    outline = outline_of(query, limits)
    _check_variables(variables, limits)
    for operation in outline.operations:
        _check_page_sizes(operation, outline, variables)
        introspects = bool(INTROSPECTION_FIELDS & root_fields(operation, outline).keys())
        max_cost = max(limits.max_cost, INTROSPECTION_COST) if introspects else limits.max_cost
        if _price(operation, outline, variables) > max_cost:
            raise TooComplex("The query asks for too much at once. Ask for fewer fields or smaller pages.")
    return outline


@lru_cache(maxsize=256)
def outline_of(query: str, limits: QueryLimits) -> Outline:
    """What the text alone tells, within the limits that concern the text alone. Raises as `judge` does."""
    outline = read_outline(tokenize(query, max_tokens=limits.max_tokens, max_nesting=MAX_NESTING))
    if outline.aliases > limits.max_aliases:
        raise TooComplex(f"The query has more than {limits.max_aliases} aliases.")
    if outline.directives > MAX_DIRECTIVES:
        raise TooComplex(f"The query has more than {MAX_DIRECTIVES} directives.")
    if outline.value_depth > limits.max_depth:
        raise TooComplex(f"The query's arguments are nested more than {limits.max_depth} deep.")
    for operation in outline.operations:
        _check_operation(operation, outline, limits)
    return outline


def is_public(outline: Outline) -> bool:
    """Whether the answer depends on nobody who asks: only queries of what the shop shows to all."""
    return all(
        operation.kind == "query" and root_fields(operation, outline).keys() <= PUBLIC_FIELDS
        for operation in outline.operations
    )


def root_fields(operation: Operation, outline: Outline) -> Counter[str]:
    """How often each field stands at the top, those of a fragment as often as it is used."""
    return _fold(operation, outline, _count_roots)


def _check_operation(operation: Operation, outline: Outline, limits: QueryLimits) -> None:
    if operation.kind == "subscription":
        raise malformed("There are no subscriptions here.")
    roots = root_fields(operation, outline)
    if operation.kind == "mutation" and roots.total() > 1:
        raise TooComplex("A request may have one mutation field.")
    max_depth = limits.max_depth
    if INTROSPECTION_FIELDS & roots.keys():
        _check_introspection(operation, outline, limits)
        max_depth = max(max_depth, INTROSPECTION_DEPTH)
    if _fold(operation, outline, _count_levels) > max_depth:
        raise TooComplex(f"The query is more than {max_depth} levels deep.")


def _check_introspection(operation: Operation, outline: Outline, limits: QueryLimits) -> None:
    if not limits.introspection:
        raise Forbidden("Introspection is off.", status=400)
    if root_fields(operation, outline).total() > MAX_INTROSPECTIONS:
        raise TooComplex("Introspection goes one schema at a time.")
    if _fold(operation, outline, _count_nested_lists) > INTROSPECTION_LIST_DEPTH:
        raise TooComplex("The introspection is nested too deeply.")


def _check_page_sizes(operation: Operation, outline: Outline, variables: Mapping[str, Any]) -> None:
    for field in chain(fields_in(operation.selections), *map(fields_in, outline.fragments.values())):
        size = _page_size(field, operation, variables)
        if not 1 <= size <= MAX_FIRST:
            sentence = f"`first` must be from 1 to {MAX_FIRST}."
            raise Invalid(sentence, status=400, fields={"first": sentence})


def _page_size(field: Field, operation: Operation, variables: Mapping[str, Any]) -> int:
    size: Any = field.first
    if isinstance(size, Variable):
        size = variables.get(size.name, operation.defaults.get(size.name))
    if isinstance(size, float) and size.is_integer():  # to the engine 100.0 is 100
        return int(size)
    # Anything else than a number is no page size; the engine says so, by the schema.
    return size if type(size) is int else DEFAULT_FIRST


def _price(operation: Operation, outline: Outline, variables: Mapping[str, Any]) -> int:
    def cost(selections: Sequence[Selection], fragments: Mapping[str, int]) -> int:
        return sum(cost_of(selection, fragments) for selection in selections)

    def cost_of(selection: Selection, fragments: Mapping[str, int]) -> int:
        if isinstance(selection, Spread):
            return fragments[selection.fragment]
        below = cost(selection.selections, fragments)
        if not isinstance(selection, Field):
            return below
        paged = selection.name in PAGED
        times = _page_size(selection, operation, variables) if paged else FAN_OUT.get(selection.name, 1)
        return 1 + times * below

    return _fold(operation, outline, cost)


def _fold(
    operation: Operation,
    outline: Outline,
    measure: Callable[[Sequence[Selection], Mapping[str, T]], T],
) -> T:
    """Measures an operation with its fragments; each of these is measured once, however often it is used."""
    fragments: dict[str, T] = {}
    for name, selections in outline.fragments.items():
        fragments[name] = measure(selections, fragments)
    return measure(operation.selections, fragments)


def _count_roots(selections: Sequence[Selection], fragments: Mapping[str, Counter[str]]) -> Counter[str]:
    counted: Counter[str] = Counter()
    for selection in selections:
        if isinstance(selection, Field):
            counted[selection.name] += 1
        elif isinstance(selection, Spread):
            counted += fragments[selection.fragment]
        else:
            counted += _count_roots(selection.selections, fragments)
    return counted


def _count_levels(selections: Sequence[Selection], fragments: Mapping[str, int]) -> int:
    return _deepest(selections, fragments, lambda field: True)


def _count_nested_lists(selections: Sequence[Selection], fragments: Mapping[str, int]) -> int:
    return _deepest(selections, fragments, lambda field: field.name in INTROSPECTION_LISTS)


def _deepest(selections: Sequence[Selection], fragments: Mapping[str, int], counts: Callable[[Field], bool]) -> int:
    def depth(selection: Selection) -> int:
        if isinstance(selection, Spread):
            return fragments[selection.fragment]
        here = isinstance(selection, Field) and counts(selection)
        return here + _deepest(selection.selections, fragments, counts)

    return max(map(depth, selections), default=0)


def _check_variables(variables: Mapping[str, Any], limits: QueryLimits) -> None:
    """Walks without calling itself, for the depth is what is in question."""
    level: list[Any] = [variables]
    for _ in range(limits.max_depth + 1):
        for text in filter(_is_text, level):
            _check_text(text)
        level = list(chain.from_iterable(map(_children, level)))
        if not level:
            return
    raise TooComplex(f"The variables are nested more than {limits.max_depth} deep.")


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


def _children(value: Any) -> Iterator[Any]:
    if isinstance(value, Mapping):
        yield from value.keys()
        yield from value.values()
    elif isinstance(value, list):
        yield from value


def _check_text(text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:  # half a surrogate pair, which JSON can spell and UTF-8 cannot
        raise malformed("The variables hold text that is not Unicode.") from None
