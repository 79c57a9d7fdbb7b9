"""What was made a moment ago, kept for those who ask next."""

import asyncio
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Hashable
from typing import Generic, TypeVar

from services.defaults.deadline import no_deadline

T = TypeVar("T")


def _any(_value: object) -> bool:
    return True


def _none(_error: BaseException) -> bool:
    return False


class Memory(Generic[T]):
    """Keeps what makers gave for `ttl_s` seconds, the `size` used last; one maker runs for each key at a time.

    What `keeps` does not pick out reaches only those who wait for it. So does a failure, unless `keeps_error` says
    that it is kept too.
    """

    def __init__(
        self,
        *,
        ttl_s: float,
        size: int,
        clock: Callable[[], float] = time.monotonic,
        keeps: Callable[[T], bool] = _any,
        keeps_error: Callable[[BaseException], bool] = _none,
    ) -> None:
        self._ttl_s = ttl_s
        self._size = size
        self._clock = clock
        self._keeps = keeps
        self._keeps_error = keeps_error
        self._kept: OrderedDict[Hashable, tuple[float, asyncio.Future[T]]] = OrderedDict()
        self._flights: dict[Hashable, asyncio.Task[T]] = {}

    async def get(self, key: Hashable, make: Callable[[], Awaitable[T]]) -> T:
        """What is kept for `key`, or what `make` gives. Raises what `make` raises."""
        kept = self._kept.get(key)
        if kept and kept[0] > self._clock():
            self._kept.move_to_end(key)
            return await kept[1]
        flight = self._flights.get(key)
        if flight is None:
            with no_deadline():  # the first to ask may be in more of a hurry than the others
                flight = asyncio.create_task(_made(make))
            self._flights[key] = flight
            flight.add_done_callback(lambda done: self._land(key, done))
        # Shielded: a visitor who closes the browser must not cancel what the others wait for.
        return await asyncio.shield(flight)

    def forget(self, wanted: Callable[[T], bool]) -> None:
        """Drops every value that `wanted` picks out."""
        for key, (_, future) in list(self._kept.items()):
            if future.exception() is None and wanted(future.result()):
                del self._kept[key]

    def _land(self, key: Hashable, flight: asyncio.Task[T]) -> None:
        del self._flights[key]
        if flight.cancelled():
            return
        error = flight.exception()
        if not (self._keeps(flight.result()) if error is None else self._keeps_error(error)):
            return
        outcome = flight.get_loop().create_future()  # a task would keep alive all that its first asker had with it
        outcome.set_result(flight.result()) if error is None else outcome.set_exception(error)
        outcome.exception()  # it has been told to who waited
        self._kept[key] = (self._clock() + self._ttl_s, outcome)
        self._kept.move_to_end(key)
        self._make_room()

    def _make_room(self) -> None:
        now = self._clock()
        while self._kept:
            oldest = next(iter(self._kept))
            if len(self._kept) <= self._size and self._kept[oldest][0] > now:
                return
            del self._kept[oldest]


async def _made(make: Callable[[], Awaitable[T]]) -> T:
    return await make()
