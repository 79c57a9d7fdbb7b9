from __future__ import annotations

import pytest

from services.defaults.errors import (
    AppError,
    Conflict,
    Invalid,
    NotFound,
    RateLimited,
    Unavailable,
    error_class,
    from_problem,
    to_problem,
)


def test_a_problem_survives_the_way_there_and_back() -> None:
    error = Conflict("Sold out.", code="SOLD_OUT", fields={"lines.0": "None left."})
    again = from_problem(409, to_problem(error, trace_id="t"), retry_after_s=3)
    assert type(again) is Conflict
    assert (again.code, again.message, again.fields) == ("SOLD_OUT", "Sold out.", {"lines.0": "None left."})
    assert again.retry_after_s == 3


def test_a_problem_has_the_members_of_rfc_9457() -> None:
    assert to_problem(NotFound("No such order.")) == {
        "type": "about:blank",
        "title": "Not Found",
        "status": 404,
        "detail": "No such order.",
        "code": "NOT_FOUND",
    }


@pytest.mark.parametrize("body", [None, "<html>Traceback</html>", [], {"detail": 7}, {"code": "X"}])
def test_a_foreign_body_tells_nothing_of_the_other_side(body: object) -> None:
    error = from_problem(503, body)
    assert type(error) is Unavailable
    assert error.message == "The request could not be completed."


@pytest.mark.parametrize(
    ("status", "kind"),
    [(400, Invalid), (418, Invalid), (429, RateLimited), (504, Unavailable), (500, AppError)],
)
def test_each_status_has_its_class(status: int, kind: type[AppError]) -> None:
    assert error_class(status) is kind
