"""A stream of choices that depends on nothing but its seed."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import TypeVar

T = TypeVar("T")


class Dice:
    """Choices drawn from SHA-256 of a seed.

    Not `random.Random`: its sequences may differ between Python versions, and a poster must stay
    the same picture for as long as its address is cached.
    """

    def __init__(self, seed: str) -> None:
        self._bytes = _stream(seed)

    def below(self, bound: int) -> int:
        """A whole number from 0 to `bound - 1`; `bound` is at most 65,536."""
        return (next(self._bytes) << 8 | next(self._bytes)) * bound >> 16

    def between(self, low: int, high: int) -> int:
        """A whole number from `low` to `high`, both included."""
        return low + self.below(high - low + 1)

    def pick(self, choices: Sequence[T]) -> T:
        """One of `choices`, which must not be empty."""
        return choices[self.below(len(choices))]


def _stream(seed: str) -> Iterator[int]:
    block = 0
    while True:
        yield from sha256(f"{seed}/{block}".encode()).digest()
        block += 1
