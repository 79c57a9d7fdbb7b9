"""Identity's decisions, by example and by property."""

from __future__ import annotations

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.defaults.errors import Invalid
from services.identity import domain
from services.identity.domain import Refusal, Registration, TokenState

GOOD = {"email": "ann@example.com", "password": "correct horse battery", "name": "Ann"}


@pytest.mark.parametrize(
    ("typed", "kept"),
    [
        ("  Ann@Example.COM ", "ann@example.com"),
        ("demo@ticketflow.test", "demo@ticketflow.test"),
        ("a+tag@sub.example.co.uk", "a+tag@sub.example.co.uk"),
        ("ann@bücher.example", "ann@xn--bcher-kva.example"),
    ],
)
def test_addresses_have_one_form(typed: str, kept: str) -> None:
    assert domain.normalise_email(typed) == kept


@pytest.mark.parametrize(
    "typed",
    [
        "",
        "ann",
        "ann@",
        "@example.com",
        "ann@example",
        "ann@localhost",
        "ann@@example.com",
        "ann@exa mple.com",
        "ann@[127.0.0.1]",
        '"a b"@example.com',
        "Ann <ann@example.com>",
        "ann@example.com\nbcc: eve@example.com",
        "ann\x00@example.com",
        "änn@example.com",
        "a" * 65 + "@example.com",
        "ann@" + "a" * 250 + ".com",
    ],
)
def test_what_is_no_address_is_refused(typed: str) -> None:
    assert domain.normalise_email(typed) is None


@given(st.emails())
def test_normalising_twice_is_normalising_once(typed: str) -> None:
    once = domain.normalise_email(typed)
    if once is not None:
        assert once.isascii()
        assert len(once) <= domain.MAX_EMAIL_CHARS
        assert domain.normalise_email(once) == domain.normalise_email(typed.upper()) == once


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_is_not(typed: str) -> None:
    normal = domain.normalise_email(typed)
    assert normal is None or normal.count("@") == 1


@pytest.mark.parametrize(
    "password",
    [
        "correct horse battery",
        "xK8#qv2!Lm",
        "zwölf große Fässer",
        "8391047265",
        "  spaces around  ",
        "🎸🎷🥁🎺🎻🪕🎹🪗🪘🎤",
    ],
)
def test_a_password_needs_nothing_but_to_be_hard_to_guess(password: str) -> None:
    assert domain.password_problem(password, email="ann@example.com", name="Ann") is None


@pytest.mark.parametrize(
    ("password", "of"),
    [
        ("short", "at least 10"),
        ("a" * 129, "at most 128"),
        ("Password123!", "Too many people"),
        ("P@ssw0rd2024", "Too many people"),
        ("qwertyuiop", "Too many people"),
        ("poiuytrewq", "Too many people"),
        ("1234567890", "Too many people"),
        ("3456789012", "Too many people"),
        ("!!iloveyou!!", "Too many people"),
        ("i love you 1", "Too many people"),
        ("aaaaaaaaaaaa", "Too many people"),
        ("ababababab", "Too many people"),
        ("ticketflow2026", "Too many people"),
        ("my annabel.lee pw", "e-mail address or name"),
        ("Annabel Lee-Poe", "e-mail address or name"),
    ],
)
def test_a_password_that_is_easy_to_guess_is_refused(password: str, of: str) -> None:
    problem = domain.password_problem(password, email="annabel.lee@example.com", name="annabel lee-poe")
    assert problem is not None
    assert of in problem


@given(st.text())
def test_what_is_hashed_has_bounds(raw: str) -> None:
    password = domain.normalise_password(raw)
    if domain.password_problem(password, email="", name="") is None:
        assert domain.MIN_PASSWORD_CHARS <= len(password) <= domain.MAX_PASSWORD_CHARS
        assert len(password.encode()) <= domain.MAX_PASSWORD_BYTES
        assert domain.normalise_password(password) == password


def test_a_password_is_the_same_however_it_is_composed() -> None:
    assert domain.normalise_password("cafe\u0301 noir chaud") == domain.normalise_password("caf\u00e9 noir chaud")


@pytest.mark.parametrize("name", ["Ann", "Ò Súilleabháin", "李小龙", "X Æ A-12", "n" * 80])
def test_names_are_as_people_have_them(name: str) -> None:
    assert domain.name_problem(domain.normalise_name(name)) is None


@pytest.mark.parametrize(
    "name",
    ["", "   ", "n" * 81, "Ann\nBcc: x", "Ann\x00", "A\u202enn", "\u200b", "A\x7fB", "A\u2028B", "..."],
)
def test_a_name_is_one_plain_line(name: str) -> None:
    assert domain.name_problem(domain.normalise_name(name)) is not None


def test_a_registration_is_normalised() -> None:
    wish = domain.check_registration(email=" Ann@Example.com", password="correct horse battery", name=" Ann ")
    assert (wish.email, wish.name) == ("ann@example.com", "Ann")


def test_every_bad_field_is_named_at_once() -> None:
    with pytest.raises(Invalid) as refused:
        domain.check_registration(email="ann", password="short", name="")
    assert set(refused.value.fields) == {"email", "password", "name"}


@pytest.mark.parametrize("field", ["email", "password", "name"])
def test_one_bad_field_is_named_alone(field: str) -> None:
    with pytest.raises(Invalid) as refused:
        domain.check_registration(**{**GOOD, field: "\x00"})
    assert set(refused.value.fields) == {field}


@given(email=st.text(max_size=40), password=st.text(max_size=140), name=st.text(max_size=90))
def test_any_registration_is_accepted_or_refused_with_reasons(email: str, password: str, name: str) -> None:
    accepted: list[Registration] = []
    reasons: dict[str, str] = {}
    try:
        accepted.append(domain.check_registration(email=email, password=password, name=name))
    except Invalid as refused:
        reasons = refused.fields
    assert bool(accepted) != bool(reasons)


@pytest.mark.parametrize(
    ("state", "why"),
    [
        (None, Refusal.UNKNOWN),
        (TokenState(revoked=True, spent_ago_s=None), Refusal.REVOKED),
        (TokenState(revoked=True, spent_ago_s=3600), Refusal.REVOKED),
        (TokenState(revoked=False, spent_ago_s=0), Refusal.SUPERSEDED),
        (TokenState(revoked=False, spent_ago_s=10), Refusal.SUPERSEDED),
        (TokenState(revoked=False, spent_ago_s=10.1), Refusal.REPLAYED),
        (TokenState(revoked=False, spent_ago_s=1, outlived=True), Refusal.REPLAYED),
        (TokenState(revoked=False, spent_ago_s=3600), Refusal.REPLAYED),
        (TokenState(revoked=False, spent_ago_s=None), Refusal.EXPIRED),
    ],
)
def test_why_a_refresh_token_is_refused(state: TokenState | None, why: Refusal) -> None:
    assert domain.refusal(state, leeway_s=10) is why


@given(st.floats(min_value=0, max_value=1e9), st.floats(min_value=0, max_value=300))
def test_a_late_twin_is_forgiven_within_the_leeway_only(spent_ago_s: float, leeway_s: float) -> None:
    state = TokenState(revoked=False, spent_ago_s=spent_ago_s)
    assert (domain.refusal(state, leeway_s=leeway_s) is Refusal.REPLAYED) == (spent_ago_s > leeway_s)


@pytest.mark.parametrize(
    ("address", "party"),
    [
        ("192.0.2.7", "192.0.2.7"),
        ("::ffff:192.0.2.7", "192.0.2.7"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::1", "2001:db8:1:2::/64"),
        ("", ""),
    ],
)
def test_addresses_of_one_party_count_together(address: str, party: str) -> None:
    assert domain.address_key(address) == party


@given(st.one_of(st.text(), st.ip_addresses().map(str)), st.text())
def test_an_origin_is_fit_to_be_kept(address: str, user_agent: str) -> None:
    origin = domain.make_origin(address, user_agent)
    assert origin.address == "" or ipaddress.ip_address(origin.address)
    assert len(origin.address) <= 45
    assert len(origin.user_agent) <= domain.MAX_USER_AGENT_CHARS
    assert origin.user_agent.isprintable()
    assert domain.address_key(origin.address) is not None


def test_an_address_loses_its_zone() -> None:
    assert domain.make_origin("fe80::1%" + "x" * 100, "").address == "fe80::1"


def test_digests_tell_tokens_apart() -> None:
    assert domain.token_digest("a") != domain.token_digest("b")
    assert len(domain.token_digest("a")) == 64
