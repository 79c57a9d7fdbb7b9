"""Who may come in."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from quart import Quart, Response

from services.dashboard.token import COOKIE, COOKIE_LIFETIME_S, Access, guard, is_local, open_access
from services.defaults.health import Health
from services.defaults.http import create_http_app
from services.defaults.settings import SettingsError

TOKEN = "the-token-of-these-tests-and-no-other"
AFAR = {"Host": "telemetry.example"}
HERE = {"Host": "127.0.0.1:18888"}
PERSON = {"Accept": "text/html"}


class Seconds:
    def __init__(self) -> None:
        self.now = 1_790_000_000.0

    def __call__(self) -> float:
        return self.now


def guarded(access: Access) -> Quart:
    app = create_http_app("dashboard", Health("dashboard", "test", {}), api_pages=False)
    app.add_url_rule("/traces", view_func=_view, methods=["GET", "POST"])
    app.add_url_rule("/token", endpoint="token", view_func=_view)
    guard(app, access, pages=True)
    return app


async def _view() -> str:
    return "in"


async def test_on_this_machine_alone_nobody_is_asked() -> None:
    client = guarded(Access("")).test_client()
    assert (await client.get("/traces", headers=HERE)).status_code == 200
    assert (await client.post("/traces", headers=HERE)).status_code == 200


@pytest.mark.parametrize("host", ["evil.example", "localhost.evil.example", "10.0.0.7:18888", "[fe80::1]", "::1"])
async def test_another_name_for_this_machine_is_refused(host: str) -> None:
    assert (await guarded(Access("")).test_client().get("/traces", headers={"Host": host})).status_code == 403


@pytest.mark.parametrize("host", ["localhost", "localhost:18888", "127.0.0.1", "127.8.8.8:1", "[::1]:18888"])
async def test_every_name_of_this_machine_is_taken(host: str) -> None:
    assert (await guarded(Access("")).test_client().get("/traces", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize("origin", ["https://evil.example", "http://127.0.0.1:8080", "null", "http://["])
async def test_another_sites_page_cannot_post(origin: str) -> None:
    answer = await guarded(Access("")).test_client().post("/traces", headers={**HERE, "Origin": origin})
    assert answer.status_code == 403


@pytest.mark.parametrize("site", ["cross-site", "same-site", "made up"])
async def test_what_a_browser_says_comes_from_elsewhere_is_refused(site: str) -> None:
    headers = {**HERE, "Origin": "http://127.0.0.1:18888", "Sec-Fetch-Site": site}
    client = guarded(Access("")).test_client()
    assert (await client.post("/traces", headers=headers)).status_code == 403
    assert (await client.get("/traces", headers=headers)).status_code == 200, "a link leads here from anywhere"


@pytest.mark.parametrize("said", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Sec-Fetch-Site": "none"}])
async def test_ones_own_page_can_post(said: dict[str, str]) -> None:
    headers = {**HERE, "Origin": "http://127.0.0.1:18888", **said}
    assert (await guarded(Access("")).test_client().post("/traces", headers=headers)).status_code == 200


async def test_a_person_is_led_to_the_form_and_back() -> None:
    answer = await guarded(Access(TOKEN)).test_client().get("/traces?errors=1", headers=AFAR | PERSON)
    assert (answer.status_code, answer.headers["Location"]) == (303, "/token?next=%2Ftraces%3Ferrors%3D1")


async def test_a_program_is_told() -> None:
    client = guarded(Access(TOKEN)).test_client()
    for answer in (await client.get("/traces", headers=AFAR), await client.post("/traces", headers=AFAR | PERSON)):
        assert answer.status_code == 401
        assert answer.headers["WWW-Authenticate"].startswith("Bearer")


@pytest.mark.parametrize("path", ["/health", "/alive", "/token", "/static/none.css", "/favicon.ico"])
async def test_the_form_and_the_probes_are_open(path: str) -> None:
    assert (await guarded(Access(TOKEN)).test_client().get(path, headers=AFAR)).status_code in (200, 404)


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        (f"Bearer {TOKEN}", 200),
        (f"bearer {TOKEN}", 200),
        (f"Bearer {TOKEN}x", 401),
        (f"Basic {TOKEN}", 401),
        (TOKEN, 401),
        ("Bearer ", 401),
        ("Bearer \udcff", 401),
    ],
)
async def test_the_token_as_a_header(authorization: str, status: int) -> None:
    headers = AFAR | {"Authorization": authorization.encode("utf-8", "replace").decode()}
    assert (await guarded(Access(TOKEN)).test_client().get("/traces", headers=headers)).status_code == status


def cookie_of(access: Access) -> str:
    response = Response()
    access.set_cookie(response)
    return response.headers["Set-Cookie"]


async def test_the_cookie_lets_in_for_thirty_days_and_does_not_hold_the_token() -> None:
    clock = Seconds()
    access = Access(TOKEN, secure=True, clock_s=clock)
    header = cookie_of(access)
    assert all(word in header for word in ("HttpOnly", "SameSite=Strict", "Secure"))
    assert TOKEN not in header
    headers = AFAR | {"Cookie": header.partition(";")[0]}
    client = guarded(access).test_client()
    assert (await client.get("/traces", headers=headers)).status_code == 200
    clock.now += COOKIE_LIFETIME_S + 1
    assert (await client.get("/traces", headers=headers)).status_code == 401


@pytest.mark.parametrize(
    "bend",
    [
        lambda value: "",
        lambda value: value[:-1],
        lambda value: "9" + value,
        lambda value: value.replace(".", ""),
        lambda value: "²" + value,
        lambda value: ".",
    ],
)
def test_a_cookie_that_was_made_up_is_worth_nothing(bend: Callable[[str], str]) -> None:
    access = Access(TOKEN, clock_s=Seconds())
    value = cookie_of(access).partition(";")[0].removeprefix(f"{COOKIE}=")
    assert access.admits_cookie(value)
    assert not access.admits_cookie(bend(value))
    assert not Access("another" * 8, clock_s=Seconds()).admits_cookie(value)


def test_from_afar_without_a_token_the_dashboard_does_not_start() -> None:
    with pytest.raises(SettingsError, match="DASHBOARD_TOKEN"):
        open_access("", host="0.0.0.0", secure=False)
    assert not open_access(TOKEN, host="0.0.0.0", secure=False).open
    assert open_access("", host="127.0.0.1", secure=False).open


@pytest.mark.parametrize(("host", "local"), [("::1", True), ("", False), ("::", False), ("example.org", False)])
def test_what_counts_as_this_machine(host: str, local: bool) -> None:
    assert is_local(host) is local
