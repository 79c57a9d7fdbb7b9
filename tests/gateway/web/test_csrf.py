from __future__ import annotations

import pytest

from services.defaults.errors import Forbidden
from services.gateway.web.csrf import CsrfGuard, is_nonce, new_nonce

HOST = "shop.example"
NONCE = new_nonce()


@pytest.fixture
def guard() -> CsrfGuard:
    return CsrfGuard("secret-of-the-tests", "https://shop.example")


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "same-origin", "Origin": "https://shop.example"},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    ],
)
def test_our_own_form_passes(guard: CsrfGuard, headers: dict[str, str]) -> None:
    guard.check(headers, HOST, nonce=NONCE, subject="u1", token=guard.token(NONCE, "u1"))


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site"},
        {"Origin": "https://evil.example"},
        {"Origin": "https://shop.example.evil.example"},
        {"Origin": "http://["},
        {"Sec-Fetch-Site": "cross-site", "Origin": "null"},
    ],
)
def test_another_site_is_refused_even_with_a_good_token(guard: CsrfGuard, headers: dict[str, str]) -> None:
    with pytest.raises(Forbidden):
        guard.check(headers, HOST, nonce=NONCE, subject="u1", token=guard.token(NONCE, "u1"))


def test_a_token_is_good_for_one_browser_and_one_person(guard: CsrfGuard) -> None:
    other = CsrfGuard("another-secret", "https://shop.example")
    tokens = [
        "",
        "ä",
        guard.token(new_nonce(), "u1"),
        guard.token(NONCE, "u2"),
        guard.token(NONCE, ""),
        other.token(NONCE, "u1"),
    ]
    for token in tokens:
        with pytest.raises(Forbidden):
            guard.check({}, HOST, nonce=NONCE, subject="u1", token=token)


BROWSERS_WORD = [
    {"Sec-Fetch-Site": "same-origin"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "null"},
    {"Origin": "https://shop.example"},
]


@pytest.mark.parametrize("headers", BROWSERS_WORD)
def test_where_nobody_is_logged_in_the_browsers_word_makes_any_form_of_ours_good(
    guard: CsrfGuard, headers: dict[str, str]
) -> None:
    for subject in ("", "u1"):  # the session may have ended since
        guard.check(headers, HOST, nonce=NONCE, subject="", token=guard.token(new_nonce(), subject))
    with pytest.raises(Forbidden):
        guard.check(headers, HOST, nonce=NONCE, subject="u1", token=guard.token(new_nonce(), "u1"))
    other = CsrfGuard("another-secret", "https://shop.example")
    for token in ("", ".", "..", NONCE, "ä", other.token(NONCE, ""), guard.token("", ""), guard.token("x", "")):
        with pytest.raises(Forbidden):
            guard.check(headers, HOST, nonce=NONCE, subject="", token=token)


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Sec-Fetch-Site": "none"},
        {"Sec-Fetch-Site": "none", "Origin": "https://shop.example"},
        {"Origin": "null"},
        {"Origin": "http://shop.example"},  # whoever answers there may be another
    ],
)
def test_without_the_browsers_word_the_token_decides_for_strangers_too(
    guard: CsrfGuard, headers: dict[str, str]
) -> None:
    guard.check(headers, HOST, nonce=NONCE, subject="", token=guard.token(NONCE, ""))
    with pytest.raises(Forbidden):
        guard.check(headers, HOST, nonce=NONCE, subject="", token=guard.token(new_nonce(), ""))


def test_a_browser_without_our_cookie_is_refused(guard: CsrfGuard) -> None:
    with pytest.raises(Forbidden):
        guard.check({}, HOST, nonce="", subject="", token=guard.token("", ""))


def test_nonces_are_told_from_other_values() -> None:
    assert is_nonce(new_nonce())
    assert not any(is_nonce(value) for value in ("", "a" * 21, "a" * 23, "a|" * 11, "ä" * 22))
