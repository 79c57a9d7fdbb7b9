"""What is measured in seconds of our own processor."""

import asyncio
import gc
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def no_collection() -> Iterator[None]:
    """No garbage is collected inside: among the objects of all tests, that takes longer than what is measured."""
    gc.collect()
    gc.disable()
    try:
        yield
    finally:
        gc.enable()


async def watch_loop(work: Any) -> tuple[float, int]:
    """For how many seconds of ours nothing else could run while `work` did, and how often it could."""
    with no_collection():
        task, longest_s, turns, last = asyncio.create_task(work), 0.0, 0, time.process_time()
        while not task.done():
            await asyncio.sleep(0)
            now = time.process_time()
            longest_s, turns, last = max(longest_s, now - last), turns + 1, now
    await task
    return longest_s, turns
