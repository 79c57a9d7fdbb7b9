"""The tree of a trace: every span has one place in it, whatever the spans say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from random import Random

from hypothesis import given
from hypothesis import strategies as st

from services.dashboard.domain.trees import Branch, build_tree


@dataclass(frozen=True)
class Bar:
    span_id: str
    parent_id: str = ""
    start_ns: int = 0
    end_ns: int = 100


IDS = st.sampled_from(["a", "b", "c", "d", "e", "f"])
BARS = st.builds(
    lambda span_id, parent_id, start_ns, length_ns: Bar(span_id, parent_id, start_ns, start_ns + length_ns),
    IDS,
    st.one_of(st.just(""), st.just("missing"), IDS),
    st.integers(0, 1000),
    st.integers(0, 1000),
)


def parent_of(branches: list[Branch[Bar]], at: int) -> Branch[Bar] | None:
    above = [branch for branch in branches[:at] if branch.depth < branches[at].depth]
    return above[-1] if above else None


@given(st.lists(BARS, max_size=40))
def test_every_span_has_one_place(bars: list[Bar]) -> None:
    branches = build_tree(bars)
    assert Counter(branch.span for branch in branches) == Counter(bars)


@given(st.lists(BARS, max_size=40))
def test_a_child_stands_under_its_parent_and_does_not_begin_before_it(bars: list[Bar]) -> None:
    branches = build_tree(bars)
    for at, branch in enumerate(branches):
        parent = parent_of(branches, at)
        assert (parent is None) == (branch.depth == 0)
        if parent is not None:
            assert branch.depth == parent.depth + 1
            assert branch.span.parent_id == parent.span.span_id
            assert branch.start_ns >= parent.start_ns


@given(st.lists(BARS, max_size=40))
def test_siblings_stand_by_their_start(bars: list[Bar]) -> None:
    roots = [branch.span.start_ns for branch in build_tree(bars) if branch.depth == 0]
    assert roots == sorted(roots)


@given(st.lists(BARS, max_size=6, unique_by=lambda bar: bar.span_id), st.randoms(use_true_random=False))
def test_the_order_of_arrival_does_not_matter(bars: list[Bar], random: Random) -> None:
    shuffled = list(bars)
    random.shuffle(shuffled)
    assert build_tree(shuffled) == build_tree(bars)


def test_a_circle_is_cut_at_its_first_span() -> None:
    branches = build_tree([Bar("a", "c", 5), Bar("b", "a", 3), Bar("c", "b", 4)])
    assert [(branch.span.span_id, branch.depth, branch.orphan) for branch in branches] == [
        ("b", 0, True),
        ("c", 1, False),
        ("a", 2, False),
    ]


def test_a_span_that_is_its_own_parent_is_a_root() -> None:
    (branch,) = build_tree([Bar("a", "a")])
    assert branch.depth == 0


def test_a_child_of_a_clock_behind_is_moved_into_the_middle_of_its_parent_with_all_below() -> None:
    branches = build_tree([Bar("a", "", 1000, 1100), Bar("b", "a", 500, 540), Bar("c", "b", 510, 520)])
    assert [(branch.start_ns, branch.shift_ns) for branch in branches] == [(1000, 0), (1030, 530), (1040, 530)]


def test_a_child_that_outlasts_its_parent_begins_with_it() -> None:
    _, child = build_tree([Bar("a", "", 1000, 1010), Bar("b", "a", 0, 500)])
    assert child.start_ns == 1000


def test_a_chain_deeper_than_pythons_stack() -> None:
    bars = [Bar(str(number), str(number - 1) if number else "", number) for number in range(20_000)]
    assert build_tree(bars)[-1].depth == 19_999
