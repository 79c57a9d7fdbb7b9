"""The tree of a trace, whatever its spans say of each other.

Spans come from many machines, late, twice, or not at all, and their clocks differ. So every span has a place in
the tree, each once; one whose parent is unknown, or is among its own descendants, stands at the top.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class SpanLike(Protocol):
    """What the tree needs to know of a span. Times in nanoseconds; `parent_id` is empty for none."""

    @property
    def span_id(self) -> str: ...
    @property
    def parent_id(self) -> str: ...
    @property
    def start_ns(self) -> int: ...
    @property
    def end_ns(self) -> int: ...


S = TypeVar("S", bound=SpanLike)


@dataclass(frozen=True)
class Branch(Generic[S]):
    """A span in its place. `shift_ns` is added to its times, for its clock to agree with its parent's.

    `orphan`: it names a parent that is not there.
    """

    span: S
    depth: int
    shift_ns: int
    orphan: bool

    @property
    def start_ns(self) -> int:
        return self.span.start_ns + self.shift_ns

    @property
    def end_ns(self) -> int:
        return self.span.end_ns + self.shift_ns


def build_tree(spans: Sequence[S]) -> list[Branch[S]]:
    """The spans in order of display: each below its parent, siblings by their start."""
    ordered = sorted(spans, key=lambda span: (span.start_ns, span.end_ns, span.span_id))
    parents = _parents(ordered)
    children: dict[int | None, list[int]] = defaultdict(list)
    for index, parent in enumerate(parents):
        children[parent].append(index)
    return list(_walk(ordered, children))


def _parents(spans: Sequence[SpanLike]) -> list[int | None]:
    """The place of each span's parent. Of several spans with one id the first is the parent."""
    places: dict[str, int] = {}
    for index, span in enumerate(spans):
        places.setdefault(span.span_id, index)
    parents = [places.get(span.parent_id) if span.parent_id else None for span in spans]
    _cut_cycles(parents)
    return parents


def _cut_cycles(parents: list[int | None]) -> None:
    """Makes a root of the first span of each circle."""
    settled: set[int] = set()
    for first in range(len(parents)):
        path: set[int] = set()
        at: int | None = first
        while at is not None and at not in settled and at not in path:
            path.add(at)
            at = parents[at]
        if at is not None and at in path:
            parents[_first_of_cycle(parents, at)] = None
        settled |= path


def _first_of_cycle(parents: Sequence[int | None], member: int) -> int:
    first, at = member, parents[member]
    while at is not None and at != member:
        first, at = min(first, at), parents[at]
    return first


def _walk(spans: Sequence[S], children: dict[int | None, list[int]]) -> Iterator[Branch[S]]:
    """Depth first, with a stack of its own: a trace may be deeper than Python's."""
    todo: list[tuple[int, int, int, Branch[S] | None]] = [(index, 0, 0, None) for index in reversed(children[None])]
    while todo:
        index, depth, inherited_ns, parent = todo.pop()
        span = spans[index]
        shift_ns = _shift_ns(span, inherited_ns, parent)
        branch = Branch(span, depth, shift_ns, orphan=parent is None and bool(span.parent_id))
        yield branch
        todo.extend((child, depth + 1, shift_ns, branch) for child in reversed(children.get(index, [])))


def _shift_ns(span: SpanLike, inherited_ns: int, parent: Branch[S] | None) -> int:
    """How far to move a span: with its parent, and where it would still begin before it, into its middle.

    A call takes as long on the way there as on the way back, as far as anybody knows; one that lasts longer than
    its parent begins with it.
    """
    if parent is None or span.start_ns + inherited_ns >= parent.start_ns:
        return inherited_ns
    room_ns = (parent.end_ns - parent.start_ns) - (span.end_ns - span.start_ns)
    return parent.start_ns + max(0, room_ns // 2) - span.start_ns
