"""What attackers type into every field: refused, or shown as the harmless text that it is."""

from __future__ import annotations

import itertools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from html.parser import HTMLParser
from types import MappingProxyType
from typing import Final
from urllib.parse import urlsplit

import aiohttp
import pytest

from services.apphost.system import System
from tests.integration.shop import Shop, eventually

pytestmark = pytest.mark.integration

MARKUP = (
    "<img src=x onerror=hostile()>",
    "\"><svg/onload='hostile()'>",
    "'-hostile()-'",
    "<script>hostile()</script>",
    "</textarea></title><a href=javascript:hostile()>x</a>",
    "{{ 7 * 191 }}${7*191}<%= 7*191 %>",
)
STATEMENTS = (
    "' OR '1'='1",
    "'; DROP TABLE concerts; --",
    "\\'; SELECT pg_sleep(9); --",
    "1) UNION SELECT password FROM users --",
    "%' ESCAPE '\\",
    "$1",
)
CONTROLS = ("x\r\nSet-Cookie: hostile=1", "x\nBcc: victim@example.com", "x\u2028Bcc: victim@example.com", "x\x00y")
ELSEWHERE = (
    "https://evil.example/",
    "//evil.example",
    "/\\evil.example",
    "\\/evil.example",
    "/\t/evil.example",
    "javascript:hostile()",
    "/%0d%0aLocation:%20https://evil.example",
    "https:evil.example",
    "/.//evil.example",
)
FILTERS = ("text", "city", "genre", "from", "to", "sort", "after", "back")
NONE: Final[Mapping[str, str]] = MappingProxyType({})
PASSWORD = "eleven elephants"


class Scan(HTMLParser):
    """Collects what a page would run that no template of ours holds."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self.csrf = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        for name, value in attrs:
            text = (value or "").strip().lower()
            if name.startswith("on") or (name in {"href", "src", "action"} and text.startswith("javascript:")):
                self.found.append(f"<{tag} {name}={value}>")
        given = dict(attrs)
        if given.get("name") == "csrf_token":
            self.csrf = given.get("value") or ""

    def handle_data(self, data: str) -> None:
        if self.cdata_elem and "hostile" in data:
            self.found.append(f"<{self.cdata_elem}>{data}")


@dataclass
class Browser:
    """Enough of one: cookies, and the form token of the page seen last."""

    http: aiohttp.ClientSession
    home: str
    csrf: str = ""
    seen: list[str] = field(default_factory=list)

    async def get(self, path: str, **query: str) -> str:
        async with self.http.get(self.home + path, params=query) as answer:
            assert answer.status < 500, (path, query)
            assert "hostile" not in answer.headers.get("Set-Cookie", "")
            return self._look(await answer.text())

    async def post(self, path: str, fields: Mapping[str, str], headers: Mapping[str, str] = NONE) -> tuple[int, str]:
        """Status, and where it leads."""
        data = {"csrf_token": self.csrf, **fields}
        url = self.home + path
        async with self.http.post(url, data=data, headers=headers, allow_redirects=False) as answer:
            assert answer.status < 500, (path, fields)
            self._look(await answer.text())
            return answer.status, answer.headers.get("Location", "")

    def _look(self, page: str) -> str:
        scan = Scan()
        scan.feed(page)
        assert not scan.found, scan.found
        assert "1337" not in page  # what a template engine would have made of 7 * 191
        self.csrf = scan.csrf or self.csrf
        return page


@pytest.fixture
async def browser(system: System) -> AsyncIterator[Browser]:
    async with aiohttp.ClientSession(cookie_jar=aiohttp.CookieJar(unsafe=True)) as http:
        yield Browser(http, system.urls["gateway"])


def test_the_scan_sees_what_would_run() -> None:
    """The positive control of all below."""
    for number, text in enumerate(MARKUP):
        scan = Scan()
        scan.feed(f"<p>{text}</p>")
        assert bool(scan.found) == (number not in {2, 5}), text  # those two are for attributes and for templates


@pytest.mark.parametrize("name", FILTERS)
async def test_filters_of_the_list(browser: Browser, name: str) -> None:
    for text in (*MARKUP, *STATEMENTS, *CONTROLS, *ELSEWHERE):
        assert "<h1>" in await browser.get("/concerts", **{name: text}), text  # a whole page, whatever it says


@pytest.mark.parametrize("path", ["/concerts/{}", "/orders/{}", "/posters/{}.svg", "/assets/{}/shop.css", "/{}"])
async def test_paths(browser: Browser, path: str) -> None:
    for text in (*MARKUP, *STATEMENTS, "../../../etc/passwd", "..%2f..%2fetc%2fpasswd", "%00", "%ff%fe"):
        page = await browser.get(path.format(text.replace("/", "%2F") if "%" not in text else text))
        assert "root:" not in page


async def test_forms_of_the_account(browser: Browser) -> None:
    for text in (*MARKUP, *STATEMENTS, *CONTROLS):
        await browser.get("/register")
        await browser.post("/register", {"name": text, "email": text, "password": text[:8]})
        await browser.get("/login")
        status, _ = await browser.post("/login", {"email": f"{text}@example.com", "password": text})
        assert status in {200, 401, 422}, text  # nobody is let in


async def test_a_name_is_shown_as_it_was_typed(browser: Browser, system: System) -> None:
    """A hostile name that is a valid name lives on: on pages, in the order, in the mails."""
    name, email = "<b onclick=hostile()>'; DROP TABLE users;--</b>", "hostile-name@ticketflow.test"
    await browser.get("/register")
    status, leads_to = await browser.post("/register", {"name": name, "email": email, "password": PASSWORD})
    assert (status, leads_to) == (303, "/")
    await browser.get("/orders")
    async with aiohttp.ClientSession() as http:
        buyer = Shop(http, system.urls["gateway"])
        credentials = {"email": email, "password": PASSWORD}
        query = "mutation($input: LoginInput!) { login(input: $input) { accessToken user { name } } }"
        session = (await buyer.data(query, input=credentials))["login"]
        assert session["user"]["name"] == name
        buyer.token = session["accessToken"]
        order = await buyer.place(await buyer.concert_on_sale())
        await buyer.pay(order["id"])
        await browser.get(f"/orders/{order['id']}")

        async def mails() -> list[dict[str, str]]:
            async with http.get(f"{system.urls['mailbox']}/api/messages", params={"to": email}) as answer:
                found: list[dict[str, str]] = (await answer.json())["messages"]
                return found if len(found) >= 2 else []

        for mail in await eventually(mails):
            async with http.get(f"{system.urls['mailbox']}/api/messages/{mail['id']}") as answer:
                whole = await answer.json()
            assert [each for each in whole["headers"] if each["name"].lower() in {"bcc", "cc"}] == []
            scan = Scan()
            scan.feed(whole["html"])
            assert not scan.found, scan.found


async def test_nobody_is_led_elsewhere(browser: Browser) -> None:
    for number, target in enumerate(ELSEWHERE):
        browser.http.cookie_jar.clear()
        await browser.get("/register", next=target)
        email = f"led-{number}@ticketflow.test"
        form = {"name": "Led", "email": email, "password": PASSWORD, "next": target}
        status, leads_to = await browser.post("/register", form)
        assert status == 303
        parts = urlsplit(leads_to)
        assert (parts.scheme, parts.netloc) in {("", ""), ("http", urlsplit(browser.home).netloc)}, target
        assert not leads_to.startswith(("//", "/\\")), target


@pytest.mark.parametrize("path", ["/login", "/register", "/logout", "/orders/{order}/payment", "/concerts/{slug}"])
async def test_another_site_s_form_is_refused(browser: Browser, path: str) -> None:
    path = path.format(order="00000000-0000-4000-8000-000000000000", slug="any")
    fields = {"email": "demo@ticketflow.test", "password": "correct horse battery"}
    await browser.get("/login")
    good = browser.csrf
    strangers = {"Origin": "https://evil.example"}
    from_afar = {"Sec-Fetch-Site": "cross-site"}
    assert (await browser.post(path, fields, strangers))[0] == 403
    browser.csrf = good
    assert (await browser.post(path, fields, from_afar))[0] == 403
    for token in ("", "0" * 64, good[:-1]):
        browser.csrf = token
        assert (await browser.post(path, fields))[0] == 403
    browser.csrf = good  # the control: with the right token it is another matter
    assert (await browser.post(path, fields))[0] != 403


async def test_arguments_of_graphql(shop: Shop) -> None:
    """Nothing but what is asked for is answered, and no input is a fault of ours."""
    count = "query($filter: ConcertFilter) { concerts(first: 1, filter: $filter) { totalCount } }"
    everything = (await shop.data(count))["concerts"]["totalCount"]
    for text, name in itertools.product((*STATEMENTS, *CONTROLS), ("text", "city", "genre")):
        body = await shop.graphql(count, filter={name: text})
        codes = {error["extensions"]["code"] for error in body.get("errors", [])}
        assert codes <= {"INVALID"}, (name, text)
        assert codes or body["data"]["concerts"]["totalCount"] == 0, (name, text)
    assert (await shop.data(count))["concerts"]["totalCount"] == everything


async def test_ids_and_credentials_of_graphql(buyer: Shop) -> None:
    for text in (*STATEMENTS, *CONTROLS, *MARKUP):
        for query in (
            "query($id: ID!) { order(id: $id) { id } }",
            "mutation($id: ID!) { cancelOrder(id: $id) { id } }",
        ):
            body = await buyer.graphql(query, id=text)
            codes = {error["extensions"]["code"] for error in body.get("errors", [])}
            assert codes <= {"NOT_FOUND", "INVALID"}, text
            assert not any((body["data"] or {}).values()), text
        query = "mutation($input: LoginInput!) { login(input: $input) { accessToken } }"
        code = await buyer.error_code(query, input={"email": f"{text}@x.test", "password": text})
        assert code in {"INVALID", "UNAUTHENTICATED"}, text
