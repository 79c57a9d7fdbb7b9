"""The on-sale simulation: its crowd, its buyers' stories, its sums and its picture."""

from __future__ import annotations

import asyncio
import io
import random
from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from services.apphost.audit.records import Finding
from services.apphost.audit.report import Report
from services.apphost.options import read_options
from services.apphost.rush import gateway as gateway_module
from services.apphost.rush.buyer import Buyer, Memory, Outcome, Sale
from services.apphost.rush.chaos import Outage
from services.apphost.rush.gateway import Gateway, Sample
from services.apphost.rush.plan import DECLINED, GOOD, PATIENCE_S, Plan, make_crowd, waits_s
from services.apphost.rush.plot import draw, step
from services.apphost.rush.progress import Progress, describe
from services.apphost.rush.rush import Result
from services.apphost.rush.stage import Concert, Level
from services.apphost.rush.tally import percentile, slices, summarise

STEADY = Plan(
    number=1,
    account=0,
    arrives_s=0.0,
    quantity=2,
    thinks_s=(0.0, 0.0),
    double_clicks=False,
    abandons=False,
    cards=(GOOD,),
    stubborn=False,
)
SOLD_OUT = {"code": "SOLD_OUT"}
AWAY = {"code": "UNAVAILABLE", "retryAfter": 0.01}


class Shop:
    """A gateway that answers from a script: a status is an order in it, a mapping is an error's extensions."""

    def __init__(self, *script: str | Mapping[str, Any] | Exception, hold: str = "20:00:30", gone: bool = True) -> None:
        self._script = list(script)
        self.asked: list[dict[str, Any]] = []
        self.memory = Memory()
        self._hold = hold
        self._gone = gone

    async def visit(self, plan: Plan = STEADY) -> Outcome:
        gone = asyncio.Event()
        if self._gone:
            gone.set()
        sale = Sale(
            concert=Concert("c1", "last-boat", "t1", 10),
            gateway=Gateway(self._send, lambda: 0.0, at_once=4),
            memory=self.memory,
            gone=gone,
            seed="7",
        )
        return await Buyer(plan, "token", sale).visit()

    @property
    def wishes(self) -> list[Any]:
        """What was asked of each mutation."""
        return [variables.get("input", variables) for variables in self.asked]

    async def _send(self, query: str, variables: Mapping[str, Any], token: str) -> Mapping[str, Any]:
        assert token == "token"
        if query.startswith("query"):
            return {"data": {"concert": None}}
        self.asked.append(dict(variables))
        step = self._script.pop(0)
        if isinstance(step, Exception):
            raise step
        if isinstance(step, Mapping):
            return {"data": None, "errors": [{"message": "No.", "extensions": step}]}
        return {"data": {"some": self._order(step)}}

    def _order(self, status: str) -> dict[str, Any]:
        status, _, id_ = status.partition(" ")
        return {
            "id": id_ or "o1",
            "status": status,
            "createdAt": "2030-05-17T20:00:00Z",
            "expiresAt": f"2030-05-17T{self._hold}Z",
            "tickets": [{"id": "k1", "code": "AA" if status == "CONFIRMED" else None}],
        }


async def test_a_buyer_orders_and_pays() -> None:
    shop = Shop("PENDING", "CONFIRMED")
    assert await shop.visit() is Outcome.BOUGHT
    placed, paid = shop.wishes
    assert placed["lines"] == [{"tierId": "t1", "quantity": 2}]
    assert (paid["orderId"], paid["card"]["number"]) == ("o1", GOOD)
    assert placed["idempotencyKey"] != paid["idempotencyKey"]
    assert shop.memory == Memory(orders={"o1": "CONFIRMED"}, owners={"k1": "o1"})


async def test_a_double_click_sends_the_same_twice() -> None:
    shop = Shop("PENDING", "PENDING", "CONFIRMED", "CONFIRMED")
    assert await shop.visit(replace(STEADY, double_clicks=True)) is Outcome.BOUGHT
    first, second, third, fourth = shop.wishes
    assert first == second
    assert third == fourth
    assert shop.memory.faults == []


async def test_two_orders_for_one_click_are_a_fault() -> None:
    shop = Shop("PENDING o1", "PENDING o2", "CONFIRMED o1", "CONFIRMED o1")
    await shop.visit(replace(STEADY, double_clicks=True))
    assert shop.memory.faults == ["one click with one key made the orders o1, o2"]


async def test_one_ticket_for_two_buyers_is_a_fault() -> None:
    shop = Shop("PENDING o1", "CONFIRMED o1", "PENDING o2", "CONFIRMED o2")
    await shop.visit()
    await shop.visit()
    assert shop.memory.faults == ["ticket k1 was sold to the orders o1 and o2"]


async def test_who_is_refused_two_tries_for_one() -> None:
    shop = Shop(SOLD_OUT, SOLD_OUT)
    assert await shop.visit() is Outcome.SOLD_OUT
    assert [wish["lines"][0]["quantity"] for wish in shop.wishes] == [2, 1]
    assert len({wish["idempotencyKey"] for wish in shop.wishes}) == 2


async def test_the_stubborn_come_back_for_what_others_leave(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.apphost.rush.buyer.waits_s", lambda _chance: iter([0.01] * 9))
    shop = Shop(SOLD_OUT, SOLD_OUT, SOLD_OUT, "PENDING", "CONFIRMED", gone=False)
    assert await shop.visit(replace(STEADY, stubborn=True)) is Outcome.BOUGHT


async def test_the_stubborn_leave_when_everything_is_sold() -> None:
    shop = Shop(SOLD_OUT, SOLD_OUT)
    assert await shop.visit(replace(STEADY, stubborn=True)) is Outcome.SOLD_OUT


async def test_a_short_hold_is_left_to_lapse() -> None:
    shop = Shop("PENDING")
    assert await shop.visit(replace(STEADY, abandons=True)) is Outcome.ABANDONED
    assert len(shop.asked) == 1


async def test_a_long_hold_is_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.apphost.rush.buyer.SECOND_THOUGHTS_S", (0.0, 0.01))
    shop = Shop("PENDING", "CANCELLED", hold="20:10:00")
    assert await shop.visit(replace(STEADY, abandons=True)) is Outcome.ABANDONED
    assert shop.asked[-1] == {"id": "o1"}
    assert shop.memory.orders == {"o1": "CANCELLED"}


async def test_a_declined_card_is_followed_by_the_next_and_the_last_by_a_cancellation() -> None:
    declined = {"code": "PAYMENT_DECLINED"}
    shop = Shop("PENDING", declined, "CONFIRMED")
    assert await shop.visit(replace(STEADY, cards=(DECLINED, GOOD))) is Outcome.BOUGHT
    assert shop.wishes[1]["idempotencyKey"] != shop.wishes[2]["idempotencyKey"]
    shop = Shop("PENDING", declined, "CANCELLED")
    assert await shop.visit(replace(STEADY, cards=(DECLINED,))) is Outcome.DECLINED


@pytest.mark.parametrize("passing", [AWAY, {"code": "CONFLICT", "retryAfter": 0.01}, OSError("reset"), ValueError()])
async def test_what_may_pass_is_tried_again_with_the_same_key(
    passing: Mapping[str, Any] | Exception, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway_module, "PAUSE_S", 0.01)
    shop = Shop(passing, passing, "PENDING", "CONFIRMED")
    assert await shop.visit() is Outcome.BOUGHT
    assert shop.wishes[0] == shop.wishes[1] == shop.wishes[2]


async def test_who_pays_too_late_and_who_is_kept_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    assert await Shop("PENDING", {"code": "CONFLICT"}).visit() is Outcome.TOO_LATE
    assert await Shop("PENDING", SOLD_OUT).visit() is Outcome.TOO_LATE
    monkeypatch.setattr(gateway_module, "PATIENCE_S", -1.0)
    shop = Shop(AWAY)
    assert await shop.visit() is Outcome.FAILED
    assert shop.memory.failures == ["buyer 1 gave up placing: UNAVAILABLE"]


async def test_a_retry_waits_as_long_as_the_shop_asks() -> None:
    asked = []

    async def send(*_: object) -> Mapping[str, Any]:
        asked.append(asyncio.get_running_loop().time())
        code = {"code": "RATE_LIMITED", "retryAfter": 0.2}
        return {"errors": [{"extensions": code}]} if len(asked) == 1 else {"data": {"me": None}}

    gateway = Gateway(send, lambda: 0.0, at_once=1)
    await gateway.insist("look", "{ me { id } }", {}, "", random.Random(1))
    assert 0.2 <= asked[1] - asked[0] < 1.0
    assert [sample.code for sample in gateway.samples] == ["RATE_LIMITED", ""]


def test_a_seed_gives_the_same_crowd_and_another_seed_another() -> None:
    def crowd(seed: int) -> list[Plan]:
        return make_crowd(random.Random(seed), buyers=300, tickets=50, accounts=60)

    assert crowd(7) == crowd(7)
    assert crowd(7) != crowd(8)
    assert {plan.account for plan in crowd(7)} == set(range(60))
    for trait in ("double_clicks", "abandons", "stubborn"):
        assert 5 < sum(getattr(plan, trait) for plan in crowd(7)) < 100
    assert 10 < sum(plan.cards[0] != GOOD for plan in crowd(7)) < 100


def test_even_the_stubborn_lose_patience() -> None:
    waits = list(waits_s(random.Random(1)))
    assert all(1 < wait < 13 for wait in waits)
    assert sum(waits[:-1]) < PATIENCE_S <= sum(waits)


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert [percentile(range(1, 101), percent) for percent in (50, 95, 99, 100)] == [50, 95, 99, 100]
    assert percentile([3.0], 99) == 3.0
    assert percentile([], 50) == 0.0


def test_samples_are_counted_when_they_are_answered() -> None:
    samples = [Sample("place", 0.5, 1.0, ""), Sample("place", 0.1, 0.2, ""), Sample("pay", 4.0, 0.5, "")]
    found = slices(samples, 2.0)
    assert [(slice_.at_s, slice_.per_s) for slice_ in found] == [(0.0, 1.0), (2.0, 0.0), (4.0, 0.5)]
    assert (found[0].median_s, found[0].slow_s) == (0.2, 1.0)
    assert slices([], 2.0) == []


def test_the_summary_has_every_number() -> None:
    samples = [Sample("place", 0.0, 0.1, ""), Sample("place", 0.0, 0.3, "SOLD_OUT"), Sample("pay", 0.0, 0.2, "")]
    outcomes = Counter({Outcome.BOUGHT: 3, Outcome.SOLD_OUT: 2})
    rows = dict(summarise(outcomes, samples, Level(9.0, 7, 2, 10), lasted_s=10.0))
    assert rows["tickets"] == "7 sold of 10; 2 held, 1 left"
    assert rows["buyers"] == "3 bought, 2 sold out"
    assert rows["refusals"] == "1 SOLD_OUT"
    assert "killed" not in rows
    assert rows["to place"] == "p50 100 ms, p95 300 ms, p99 300 ms, of 2"


def test_the_summary_says_what_was_killed() -> None:
    outages = [Outage("redis", 10.0, 11.5), Outage("ordering-2", 10.0)]
    rows = dict(summarise(Counter(), [], Level(9.0, 7, 2, 10), lasted_s=10.0, outages=outages))
    assert rows["killed"] == "redis was away for 1.5 s, ordering-2 did not come back"


@pytest.mark.parametrize(("highest", "distance"), [(0, 0.2), (1, 0.2), (9, 2), (50, 10), (99, 20), (1234, 500)])
def test_axes_have_round_numbers(highest: float, distance: float) -> None:
    assert step(highest) == pytest.approx(distance)


def test_the_picture_is_svg_and_needs_nothing_from_outside() -> None:
    found = slices([Sample("place", at, 0.1, "") for at in (0.0, 1.0, 5.0)], 1.0)
    svg = draw("1 < 2 & 3", "seed 7", found, [Level(0.0, 0, 0, 10), Level(5.0, 8, 1, 10)])
    root = ElementTree.fromstring(svg)
    curves = [node.attrib["points"].split() for node in root.iter() if node.tag.endswith("polyline")]
    assert [len(points) for points in curves] == [6, 3, 3, 2, 2]
    assert all(len(point.split(",")) == 2 for points in curves for point in points)
    assert svg.count("http") == 1  # the name space
    assert "rect" not in svg
    assert ElementTree.fromstring(draw("nothing", "", [], [])) is not None


def test_the_picture_shows_who_was_away_and_when() -> None:
    outages = [Outage("redis", 1.0, 2.0), Outage("rabbitmq", 1.0, None)]
    svg = draw("title", "", [], [Level(0.0, 0, 0, 10), Level(5.0, 8, 1, 10)], outages)
    root = ElementTree.fromstring(svg)
    bars = [node.attrib for node in root.iter() if node.attrib.get("class") == "bar"]
    redis, rabbitmq = (float(bar["width"]) for bar in bars)
    assert rabbitmq == pytest.approx(4 * redis, abs=0.5)  # to the end
    assert {"no redis", "no rabbitmq"} <= {node.text for node in root.iter()}


async def test_progress_is_lines_in_a_file_and_one_line_in_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.apphost.rush.progress.LINES_S", 0.01)
    monkeypatch.setattr("services.apphost.rush.progress.TERMINAL_S", 0.01)
    shown = {}
    for terminal in (False, True):
        out = io.StringIO()
        running = asyncio.create_task(Progress(out, terminal=terminal).run([Level(1.0, 2, 3, 9)], [], {}, 5, Absent()))
        await asyncio.sleep(0.05)
        running.cancel()
        shown[terminal] = out.getvalue()
    assert shown[False].count("\n") >= 2
    assert "2 sold, 3 held, 4 left" in shown[False]
    assert "\x1b" not in shown[False]
    assert shown[True].count("\r") >= 2
    assert "\n" not in shown[True]
    assert shown[False].splitlines()[0].endswith("without redis, rabbitmq")
    assert "    3 buyers" in describe(Level(1.0, 2, 3, 9), {Outcome.BOUGHT: 2}, 5, 1.0)


class Absent:
    """Parts of which two are away."""

    down = ("redis", "rabbitmq")


@pytest.mark.parametrize(
    "wrong",
    [["rush", "--buyers", "0"], ["rush", "--tickets", "many"], ["rush", "gateway"], ["audit", "--settle-s", "x"]],
)
def test_options_that_make_no_sense_are_refused(wrong: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["apphost", *wrong])
    with pytest.raises(SystemExit) as refused:
        read_options(None)
    assert refused.value.code == 2


@pytest.mark.parametrize("given", [["--state", "here", "up", "gateway"], ["up", "gateway", "--state", "here"]])
def test_options_may_come_before_the_verb_or_after(given: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", ["apphost", *given])
    options = read_options(None)
    assert (options.verb, options.parts, options.state) == ("up", ["gateway"], Path("here").absolute())


def result(last: Level, *findings: Finding, **memory: Any) -> Result:
    return Result(
        outcomes=Counter(),
        memory=Memory(**memory),
        samples=[],
        levels=[last],
        lasted_s=1.0,
        report=Report(counts=[], findings=findings, waited_s=0.0),
    )


@pytest.mark.parametrize(
    "bad",
    [
        result(Level(1.0, 11, 0, 10)),
        result(Level(1.0, 1, 0, 10), owners={"k1": "o1", "k2": "o2"}),
        result(Level(1.0, 1, 0, 10), faults=["one click made two orders"]),
        result(Level(1.0, 1, 0, 10), Finding("order o1", "is lost")),
        replace(result(Level(1.0, 1, 0, 10)), mishaps=["redis did not come back"]),
    ],
)
def test_a_rush_is_good_unless_oversold_or_the_books_do_not_close(bad: Result) -> None:
    assert result(Level(1.0, 10, 0, 10), owners={"k1": "o1"}).is_good
    assert not bad.is_good
