"""Every page over neighbours in memory: what it shows when all is well, when nothing has come, when one is away."""

from __future__ import annotations

import re
from dataclasses import replace

import pytest
from markupsafe import escape

from services.dashboard.store.rows import LogQuery, PlotQuery, TraceQuery
from tests.dashboard import samples
from tests.dashboard.desk import Desk
from tests.dashboard.fakes import FakeControl, FakeMails, FakeQueues, FakeRegistry, FakeStore

TRACE = f"/traces/{samples.TRACE_ID}"
PAGES = (
    "/",
    "/resources/ordering",
    "/traces",
    TRACE,
    "/map",
    "/logs",
    "/plots",
    "/plots/orders.placed",
    "/plots/orders.placed?by=reason",
    "/plots/http.server.request.duration",
    "/signals",
    "/business",
    "/messages",
    "/mails",
    "/mails/one",
    "/orders",
    "/orders/K7QF-2M9X",
    "/token",
)
NASTY = "<img src=x onerror=alert(1)>\"'&</pre></script>{{7*7}}"
ATTRIBUTE = re.compile(r"\s(?:style|on\w+)=", re.IGNORECASE)
TAG = re.compile(r"<[a-z][^>]*>", re.IGNORECASE)


@pytest.mark.parametrize("path", PAGES)
async def test_a_page_names_no_other_host_and_runs_nothing_of_its_own(path: str) -> None:
    answer = await Desk().get(path)
    html = await answer.get_data(as_text=True)
    assert answer.status_code == 200
    assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
    assert "unsafe" not in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    tags = TAG.findall(html)
    assert not [tag for tag in tags if ATTRIBUTE.search(tag)]
    assert not [tag for tag in tags if re.search(r"(?:src|href|action)=\"(?:https?:)?//", tag)]
    assert html.count("<h1") == 1


@pytest.mark.parametrize("path", [path for path in PAGES if "resources" not in path])
async def test_html_in_every_field_is_shown_harmlessly(path: str) -> None:
    desk = Desk(
        store=FakeStore(text=NASTY),
        control=FakeControl(found=[samples.part(NASTY)]),
        queues=FakeQueues(letters=[samples.letter(NASTY)]),
        mails=FakeMails(text=NASTY),
    )
    if path.startswith("/plots/"):
        path = "/plots/" + "".join(f"%{byte:02X}" for byte in NASTY.encode())
    html = await desk.page(path)
    assert "<img" not in html
    if path not in {"/orders", "/token"}:
        assert "&lt;img" in html
        assert "{{7*7}}" in html


async def test_html_in_a_part_is_shown_harmlessly() -> None:
    nasty = NASTY.replace("/", "")  # parts are named by us: a word of an address
    desk = Desk(control=FakeControl(found=[samples.part(nasty)]))
    home = await desk.page("/")
    assert "<img" not in home
    assert str(escape(nasty)) in home
    link = re.search(r'href="(/resources/%3C[^"]+)"', home)
    assert link
    assert "<img" not in await desk.page(link[1].partition("#")[0])


@pytest.mark.parametrize(
    ("path", "words"),
    [
        ("/", "Nothing is known of any process."),
        ("/traces", "No trace has come yet."),
        ("/traces?service=nobody", "No trace is like that."),
        ("/map", "Nobody has called anybody in this time."),
        ("/plots", "No metric has come yet."),
        ("/plots?text=nothing", "No metric is called that."),
        ("/signals", "Nothing of this has come yet."),
        ("/business", "Nothing of this has come yet."),
        ("/messages", "No broker is named to this dashboard."),
        ("/mails", "No mailbox is named to this dashboard."),
        ("/orders", "Which one?"),
    ],
)
async def test_an_empty_page_says_what_to_do(path: str, words: str) -> None:
    desk = Desk(store=FakeStore(full=False), control=None, queues=None, mails=None)
    assert words in await desk.page(path)


@pytest.mark.parametrize("path", [TRACE, "/plots/nothing", "/orders/NONE-NONE", "/nowhere", "/resources/nobody"])
async def test_what_is_not_there_is_a_page_with_the_menu(path: str) -> None:
    html = await Desk(store=FakeStore(full=False)).page(path, status=404)
    assert 'aria-label="Main"' in html


async def test_with_neighbours_away_the_pages_say_so_and_go_on() -> None:
    desk = Desk(
        control=FakeControl(away=True),
        registry=FakeRegistry(),
        queues=FakeQueues(away=True),
        mails=FakeMails(away=True),
    )
    home = await desk.page("/")
    assert "The app host does not answer." in home
    assert "127.0.0.1:8082" in home, "Consul still knows"
    assert "/resources/ordering/stop" not in home, "nothing can be pressed that nobody hears"
    messages = await desk.page("/messages")
    assert "The message broker cannot be reached." in messages
    assert "Events waiting in the outbox" in messages
    assert "The mailbox does not answer." in await desk.page("/mails")


async def test_without_an_app_host_the_page_is_consuls_view() -> None:
    html = await Desk(control=None, registry=FakeRegistry()).page("/")
    assert "Consul’s view." in html
    assert "127.0.0.1:8082" in html


async def test_resources_show_health_with_each_dependency() -> None:
    html = await Desk().page("/")
    for shown in (
        "ordering",
        "postgres",
        "redis",
        "no answer in time",
        "1.5 %",
        "83.9 MiB",
        "127.0.0.1:8082",
        "serving",
    ):
        assert shown in html
    assert '1 of 1 needs a look: <a href="/resources/ordering">' in html


async def test_filters_of_traces_reach_the_store() -> None:
    desk = Desk()
    await desk.page("/traces?service=ordering&operation=POST&text=x&order=K7QF-2M9X&min=1.5&errors=1&sort=slowest")
    assert desk.store.asked == [
        TraceQuery(
            service="ordering",
            operation="POST",
            text="x",
            order="K7QF-2M9X",
            min_ns=1_500_000,
            errors_only=True,
            sort="slowest",
        )
    ]
    assert "&amp;before=further" in await desk.page("/traces?service=ordering")


@pytest.mark.parametrize("least", ["", "much", "-1", "nan", "1e999"])
async def test_a_duration_that_is_none_asks_for_nothing(least: str) -> None:
    desk = Desk()
    await desk.page(f"/traces?min={least}")
    assert desk.store.asked == [TraceQuery()]


async def test_filters_of_logs_reach_the_store() -> None:
    desk = Desk()
    await desk.page(f"/logs?service=ordering&instance=one&level=17&text=x&trace={samples.TRACE_ID}&order=K7QF-2M9X")
    asked = LogQuery(service="ordering", instance="one", severity=17, text="x", order="K7QF-2M9X", limit=200)
    assert desk.store.asked == [replace(asked, trace_id=samples.TRACE_ID)]


async def test_a_line_leads_to_the_others_of_its_instance() -> None:
    desk = Desk()
    assert 'href="/logs?service=ordering&amp;instance=one">instance one</a>' in await desk.page("/logs")
    assert 'name="instance" value="one"' in await desk.page("/logs?instance=one")


@pytest.mark.parametrize("level", ["1" * 25, "1" * 5000, "-17", "18", "%C2%B2", "much"])
async def test_a_level_that_is_none_asks_for_nothing(level: str) -> None:
    desk = Desk()
    await desk.page(f"/logs?level={level}")
    assert desk.store.asked == [LogQuery()]


async def test_a_metric_is_split_and_narrowed() -> None:
    desk = Desk()
    html = await desk.page("/plots/orders.placed?by=reason&is.reason=BUYER&range=5m&show=increase")
    (asked,) = desk.store.asked
    assert isinstance(asked, PlotQuery)
    assert (asked.group_by, asked.where, asked.aggregate) == (("reason",), {"reason": "BUYER"}, "increase")
    assert asked.until_ns - asked.since_ns == 300_000_000_000
    assert "BUYER" in html
    assert f"/traces/{samples.TRACE_ID}#span-{samples.SPAN_ID}" in html, "a measurement leads to its trace"


async def test_a_histogram_shows_percentiles() -> None:
    desk = Desk()
    await desk.page("/plots/http.server.request.duration")
    assert [asked.aggregate for asked in desk.store.asked if isinstance(asked, PlotQuery)] == ["p50", "p95", "p99"]


async def test_the_catalogue_says_what_is_kept() -> None:
    html = await Desk().page("/plots")
    assert "4.8 MiB of at most 190.7 MiB, for at most 2 d 0 h" in html
    assert "7 requests were told to come again later." in html


async def test_a_trace_names_its_steps_in_words_and_as_the_code_does() -> None:
    html = await Desk().page(TRACE)
    for shown in ("Press “Pay”", "POST /orders/{order_id}/payment", "Database: read orders", "SELECT orders"):
        assert shown in html
    assert "<dt>otel.scope.name</dt><dd>services.gateway</dd>" in html
    assert "<dt>service.instance.id</dt><dd>one</dd>" in html
    assert "What caused it" in html, "its parent has not come"
    assert "Its clock is 5 ms behind" in html
    assert 'href="/orders/K7QF-2M9X"' in html


async def test_an_order_number_leads_to_its_story() -> None:
    desk = Desk()
    answer = await desk.get("/orders?number=+K7QF-2M9X+")
    assert (answer.status_code, answer.headers["Location"]) == (303, "/orders/K7QF-2M9X")
    html = await desk.page("/orders/k7qf-2m9x")
    assert re.search(r"Press “Pay”.*Send the mail to the buyer", html, re.DOTALL)
    assert "UPDATE orders" not in html, "an inner step"
    assert f"/traces/{samples.TRACE_ID}" in html
    assert "UPDATE orders" in await desk.page("/orders/K7QF-2M9X?all=1")


async def test_a_mail_is_framed_in_a_sandbox() -> None:
    desk = Desk()
    assert 'sandbox="allow-popups allow-popups-to-escape-sandbox"' in await desk.page("/mails/one")
    html = await desk.get("/mails/one/html")
    assert html.headers["Content-Security-Policy"].startswith("sandbox allow-popups")
    assert "script" not in html.headers["Content-Security-Policy"]
    file = await desk.get("/mails/one/attachments/2")
    assert file.headers["Content-Disposition"].startswith("attachment")
    assert file.headers["Content-Security-Policy"].startswith("sandbox;")


async def test_the_files_of_pages_are_kept_for_good_and_licences_are_none_of_them() -> None:
    desk = Desk()
    found = re.findall(r'(?:href|src)="(/static/[^"]+)"', await desk.page("/"))
    assert len(found) == 6
    for address in found:
        file = await desk.get(address)
        assert (file.status_code, "immutable" in file.headers["Cache-Control"]) == (200, True)
    assert (await desk.get("/favicon.ico")).status_code == 200
    assert (await desk.get("/static/0123/LICENSE")).status_code == 404
