"""Reads as much of a GraphQL document as is needed to judge it, in time linear in its length.

It stands before the real parser, which takes minutes over a few kilobytes of hostile nesting. It follows
https://spec.graphql.org/October2021/#sec-Appendix-Grammar-Summary for executable documents; whatever it
cannot read is refused, so the real parser never sees a document that was not judged.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from graphlib import CycleError, TopologicalSorter
from typing import Final, NoReturn

from services.defaults.errors import Invalid

TOKEN: Final = re.compile(
    r"""
      (?P<ignored> [\ufeff\t\n\r\x20,]++ | \#[^\n\r]*+ )
    | (?P<block>   \"{3} (?: \\\"{3} | (?!\"{3})[\s\S] )*+ \"{3} )
    | (?P<string>  \" (?: [^\"\\\n\r] | \\[^\n\r] )*+ \" )
    | (?P<name>    [_A-Za-z][_0-9A-Za-z]*+ )
    | (?P<number>  -?[0-9]++ (?: \.[0-9]++ )? (?: [eE][+-]?[0-9]++ )? )
    | (?P<mark>    \.{3} | [!$&()\[\]{}:=@|] )
    """,
    re.VERBOSE,
)
# The C parser ends at a NUL and cannot carry half a surrogate pair; it must read what was judged, all of it.
_UNREADABLE: Final = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f\ud800-\udfff]")

_CLOSING: Final = {"(": ")", "[": "]", "{": "}"}
_OPERATIONS: Final = frozenset({"query", "mutation", "subscription"})


class TooComplex(Invalid):
    """The request is more than the gateway takes on; `INVALID` is for one that is wrong."""

    default_code = "QUERY_TOO_COMPLEX"
    default_status = 400


@dataclass(frozen=True)
class Variable:
    """A variable in the place of a value."""

    name: str


@dataclass(frozen=True)
class Field:
    """`first` is the page size asked for: a number, a variable, or none."""

    name: str
    aliased: bool
    first: int | Variable | None
    selections: tuple[Selection, ...]


@dataclass(frozen=True)
class Spread:
    fragment: str


@dataclass(frozen=True)
class Inline:
    selections: tuple[Selection, ...]


Selection = Field | Spread | Inline


@dataclass(frozen=True)
class Operation:
    """`defaults` has the variables whose default is a whole number, the only ones that may be a page size."""

    kind: str
    name: str
    selections: tuple[Selection, ...]
    defaults: dict[str, int]


@dataclass(frozen=True)
class Outline:
    """`fragments` are in an order in which each comes after those that it uses."""

    operations: tuple[Operation, ...]
    fragments: dict[str, tuple[Selection, ...]]
    aliases: int
    directives: int
    value_depth: int


@dataclass(frozen=True)
class Token:
    kind: str
    text: str


def malformed(message: str = "The query cannot be parsed.") -> Invalid:
    return Invalid(message, status=400)


def tokenize(query: str, *, max_tokens: int, max_nesting: int) -> list[Token]:
    """The tokens of `query`, comments and white space left out.

    Raises `TooComplex` at the first token or bracket too many, so that its cost is bounded by the limits,
    and `Invalid` at what is no token and where brackets do not match.
    """
    if _UNREADABLE.search(query):
        raise malformed("The query holds characters that GraphQL does not allow.")
    tokens: list[Token] = []
    open_brackets: list[str] = []
    for token in _scan(query):
        tokens.append(token)
        if len(tokens) > max_tokens:
            raise TooComplex(f"The query has more than {max_tokens} tokens.")
        if token.kind == "mark":
            _follow_brackets(token.text, open_brackets)
        if len(open_brackets) > max_nesting:
            raise TooComplex("The query is nested too deeply.")
    if open_brackets:
        raise malformed()
    return tokens


def in_order(fragments: dict[str, tuple[Selection, ...]]) -> dict[str, tuple[Selection, ...]]:
    """Each fragment after those that it uses. Raises `TooComplex` for a circle, which has no end."""
    uses = {name: set(_spreads(selections)) for name, selections in fragments.items()}
    try:
        order = list(TopologicalSorter(uses).static_order())
    except CycleError as error:
        raise TooComplex("The query's fragments form a circle.") from error
    _check_known(order, fragments)
    return {name: fragments[name] for name in order}


def _check_known(names: Iterable[str], fragments: Mapping[str, tuple[Selection, ...]]) -> None:
    for name in names:
        if name not in fragments:
            raise malformed(f"There is no fragment named {name[:40]}.")


def _spreads(selections: Sequence[Selection]) -> Iterator[str]:
    for selection in selections:
        if isinstance(selection, Spread):
            yield selection.fragment
        else:
            yield from _spreads(selection.selections)


def fields_in(selections: Sequence[Selection]) -> Iterator[Field]:
    """Every field written there, at any depth; those of fragments are not written there."""
    for selection in selections:
        if isinstance(selection, Field):
            yield selection
        if not isinstance(selection, Spread):
            yield from fields_in(selection.selections)


def _scan(query: str) -> Iterator[Token]:
    position = 0
    while position < len(query):
        match = TOKEN.match(query, position)
        if match is None:
            raise malformed()
        position = match.end()
        if match.lastgroup != "ignored":
            yield Token(str(match.lastgroup), match.group())


def _follow_brackets(mark: str, open_brackets: list[str]) -> None:
    if mark in _CLOSING:
        open_brackets.append(_CLOSING[mark])
    elif mark in ")]}" and (not open_brackets or open_brackets.pop() != mark):
        raise malformed()


def read_outline(tokens: list[Token]) -> Outline:
    """The shape of the document. Raises `Invalid` where the tokens make none.

    It calls itself for each level of nesting: `tokenize` has bounded that.
    """
    return _Reader(tokens).document()


@dataclass
class _Reader:
    tokens: list[Token]
    position: int = 0
    aliases: int = 0
    directive_count: int = 0
    value_depth: int = 0
    fragments: dict[str, tuple[Selection, ...]] = field(default_factory=dict)

    def document(self) -> Outline:
        operations = []
        while self.position < len(self.tokens):
            if self.peek() == "fragment":
                self.fragment()
            else:
                operations.append(self.operation())
        if not operations:
            raise malformed("The query has no operation.")
        for operation in operations:
            _check_known(_spreads(operation.selections), self.fragments)
        return Outline(
            operations=tuple(operations),
            fragments=in_order(self.fragments),
            aliases=self.aliases,
            directives=self.directive_count,
            value_depth=self.value_depth,
        )

    def fragment(self) -> None:
        self.expect("fragment")
        name = self.name()
        self.expect("on")
        self.name()
        self.directives()
        if name in self.fragments:
            raise malformed(f"There is more than one fragment named {name[:40]}.")
        self.fragments[name] = self.selection_set()

    def operation(self) -> Operation:
        kind, name, defaults = "query", "", {}
        if self.peek() != "{":
            kind = self.name()
            if kind not in _OPERATIONS:
                self.refuse()
            name = self.name() if self.at("name") else ""
            defaults = self.variable_definitions()
            self.directives()
        return Operation(kind, name, self.selection_set(), defaults)

    def variable_definitions(self) -> dict[str, int]:
        defaults: dict[str, int] = {}
        if not self.take("("):
            return defaults
        while not self.take(")"):
            self.expect("$")
            name = self.name()
            self.expect(":")
            self.type_reference()
            default = self.value() if self.take("=") else None
            if isinstance(default, int):
                defaults[name] = default
            self.directives()
        return defaults

    def type_reference(self) -> None:
        if self.take("["):
            self.type_reference()
            self.expect("]")
        else:
            self.name()
        self.take("!")

    def selection_set(self) -> tuple[Selection, ...]:
        self.expect("{")
        selections = []
        while not self.take("}"):
            selections.append(self.fragment_use() if self.take("...") else self.field())
        if not selections:
            raise malformed()
        return tuple(selections)

    def fragment_use(self) -> Selection:
        if self.at("name") and self.peek() != "on":
            spread = Spread(self.name())
            self.directives()
            return spread
        if self.take("on"):
            self.name()
        self.directives()
        return Inline(self.selection_set())

    def field(self) -> Field:
        name = self.name()
        aliased = self.take(":")
        if aliased:
            self.aliases += 1
            name = self.name()
        first = self.arguments()
        self.directives()
        selections = self.selection_set() if self.peek() == "{" else ()
        return Field(name, aliased, first, selections)

    def directives(self) -> None:
        while self.take("@"):
            self.directive_count += 1
            self.name()
            self.arguments()

    def arguments(self) -> int | Variable | None:
        """Reads past the arguments; what `first` is among them."""
        first: int | Variable | None = None
        if self.take("("):
            while not self.take(")"):
                name = self.name()
                self.expect(":")
                value = self.value()
                first = value if name == "first" else first
        return first

    def value(self, depth: int = 1) -> int | Variable | None:
        """Reads past one value; none for all that cannot be a page size."""
        self.value_depth = max(self.value_depth, depth)
        if self.take("$"):
            return Variable(self.name())
        if self.take("["):
            while not self.take("]"):
                self.value(depth + 1)
            return None
        if self.take("{"):
            while not self.take("}"):
                self.name()
                self.expect(":")
                self.value(depth + 1)
            return None
        return self.scalar()

    def scalar(self) -> int | None:
        token = self.next()
        if token.kind == "mark":
            self.refuse()
        # Ten digits hold every 32-bit integer; longer ones are refused later, and slow to convert.
        whole = token.kind == "number" and token.text.lstrip("-").isdigit() and len(token.text) <= 11
        return int(token.text) if whole else None

    def name(self) -> str:
        token = self.next()
        if token.kind != "name":
            self.refuse()
        return token.text

    def expect(self, text: str) -> None:
        if not self.take(text):
            self.refuse()

    def take(self, text: str) -> bool:
        """Whether the next token is this mark or keyword; if so, reads past it."""
        found = self.peek() == text
        self.position += found
        return found

    def at(self, kind: str) -> bool:
        return self.position < len(self.tokens) and self.tokens[self.position].kind == kind

    def peek(self) -> str:
        return self.tokens[self.position].text if self.position < len(self.tokens) else ""

    def next(self) -> Token:
        if self.position >= len(self.tokens):
            self.refuse()
        self.position += 1
        return self.tokens[self.position - 1]

    def refuse(self) -> NoReturn:
        raise malformed()
