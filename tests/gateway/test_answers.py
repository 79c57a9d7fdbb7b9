from __future__ import annotations

import asyncio

import pytest

from services.gateway.answers import Answer, AnswerCache


class Maker:
    """Makes answers, and counts them."""

    def __init__(self, *, failure: Exception | None = None) -> None:
        self.made = 0
        self.failure = failure

    async def __call__(self) -> Answer:
        self.made += 1
        await asyncio.sleep(0)
        if self.failure:
            raise self.failure
        return Answer({"data": self.made})


async def test_the_least_used_answer_gives_way() -> None:
    cache, make = AnswerCache(ttl_s=60, max_entries=2), Maker()
    for key in ("a", "b", "a", "c", "a"):
        await cache.get(key, make)
    assert make.made == 3
    await cache.get("b", make)
    assert make.made == 4


async def test_a_failure_reaches_all_who_wait_and_is_forgotten() -> None:
    cache, broken, make = AnswerCache(), Maker(failure=RuntimeError("no")), Maker()
    outcomes = await asyncio.gather(*(cache.get("a", broken) for _ in range(3)), return_exceptions=True)
    assert [type(outcome) for outcome in outcomes] == [RuntimeError] * 3
    assert broken.made == 1
    assert (await cache.get("a", make)).result == {"data": 1}


async def test_the_first_of_a_crowd_leaving_does_not_spoil_it_for_the_rest() -> None:
    cache, make = AnswerCache(), Maker()
    first, second = (asyncio.create_task(cache.get("a", make)) for _ in range(2))
    await asyncio.sleep(0)
    first.cancel()
    assert (await second).result == {"data": 1}
    assert first.cancelled()


async def test_nothing_is_kept_for_no_time() -> None:
    cache, make = AnswerCache(ttl_s=0), Maker()
    for _ in range(2):
        await cache.get("a", make)
    assert make.made == 2


@pytest.mark.parametrize(("result", "ok"), [({"data": 1}, True), ({"data": 1, "errors": [{}]}, False)])
def test_an_answer_with_errors_is_not_ok(result: dict[str, object], ok: bool) -> None:
    assert Answer(result).ok is ok


def test_the_body_is_json_in_utf_8() -> None:
    assert Answer({"data": "é"}).encoded == '{"data":"é"}'.encode()
