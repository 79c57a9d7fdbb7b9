from __future__ import annotations

import pytest

from services.gateway.answers import Answer, AnswerCache


async def test_only_a_good_answer_is_kept() -> None:
    cache, given = AnswerCache(), [Answer({"errors": [{}]}), Answer({"data": 1}), Answer({"data": 2})]

    async def make() -> Answer:
        return given.pop(0)

    results = [(await cache.get("a", make)).result for _ in range(3)]
    assert results == [{"errors": [{}]}, {"data": 1}, {"data": 1}]


@pytest.mark.parametrize(("result", "ok"), [({"data": 1}, True), ({"data": 1, "errors": [{}]}, False)])
def test_an_answer_with_errors_is_not_ok(result: dict[str, object], ok: bool) -> None:
    assert Answer(result).ok is ok


def test_the_body_is_json_in_utf_8() -> None:
    assert Answer({"data": "é"}).encoded == '{"data":"é"}'.encode()
