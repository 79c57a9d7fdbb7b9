from __future__ import annotations

import pytest

from services.defaults.errors import Invalid
from services.gateway.web.forms import (
    Fields,
    kept_quantities,
    key_of,
    new_key,
    read_card,
    read_credentials,
    read_quantities,
    read_registration,
)
from services.gateway.web.views import Concert
from tests.gateway.fakes import make_concert

GOOD = {"name": "Ada Lovelace", "email": "ada@example.org", "password": "correct horse"}
CARD = {"number": "4242 4242 4242 4242", "expiry": "12/30", "cvc": "123"}


@pytest.fixture
def concert() -> Concert:
    return Concert.model_validate({**make_concert(), "saleState": "ON_SALE"})


def test_a_registration_is_read_and_tidied() -> None:
    entered = read_registration({**GOOD, "name": "  Ada   Lovelace ", "email": " ada@example.org "})
    assert (entered.name, entered.email) == ("Ada Lovelace", "ada@example.org")
    assert "correct horse" not in repr(entered)


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"name": " "}, "name"),
        ({"name": "x" * 81}, "name"),
        ({"name": "a\x00b"}, "name"),
        ({"email": ""}, "email"),
        ({"email": "ada"}, "email"),
        ({"email": "a@b"}, "email"),
        ({"email": "a b@c.de"}, "email"),
        ({"email": "a" * 250 + "@b.de"}, "email"),
        ({"password": "short"}, "password"),
        ({"password": "x" * 129}, "password"),
    ],
)
def test_what_cannot_be_registered_is_named(changes: Fields, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_registration({**GOOD, **changes})
    assert list(caught.value.fields) == [field]


def test_all_mistakes_are_named_at_once() -> None:
    with pytest.raises(Invalid) as caught:
        read_registration({})
    assert set(caught.value.fields) == {"name", "email", "password"}
    with pytest.raises(Invalid) as caught:
        read_credentials({})
    assert set(caught.value.fields) == {"email", "password"}


@pytest.mark.parametrize("expiry", ["12/30", "1230", "12 / 30", "12/2030", "122030"])
def test_a_card_is_read_however_it_is_typed(expiry: str) -> None:
    card = read_card({**CARD, "expiry": expiry})
    assert (card.number, card.expiry, card.cvc) == ("4242424242424242", "12/30", "123")
    assert "4242" not in repr(card)


def test_a_month_of_one_digit_is_understood() -> None:
    assert read_card({**CARD, "expiry": "8/30"}).expiry == "08/30"


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"number": "4242"}, "number"),
        ({"number": "4242x4242y4242z42"}, "number"),
        ({"number": "٤" * 16}, "number"),
        ({"expiry": "13/30"}, "expiry"),
        ({"expiry": "soon"}, "expiry"),
        ({"cvc": "12"}, "cvc"),
        ({"cvc": "12345"}, "cvc"),
    ],
)
def test_what_cannot_be_a_card_is_named(changes: Fields, field: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_card({**CARD, **changes})
    assert list(caught.value.fields) == [field]


def test_the_choice_is_read(concert: Concert) -> None:
    assert read_quantities({"quantity-tier-1": "2", "quantity-other": "5"}, concert) == {"tier-1": 2}


@pytest.mark.parametrize("typed", ["-1", "1.5", "two", "1e3", "9999", "٣"])
def test_a_quantity_is_a_whole_number(concert: Concert, typed: str) -> None:
    with pytest.raises(Invalid) as caught:
        read_quantities({"quantity-tier-1": typed}, concert)
    assert list(caught.value.fields) == ["quantity-tier-1"]


@pytest.mark.parametrize("typed", ["", "0", "11"])
def test_an_order_has_one_to_ten_tickets(concert: Concert, typed: str) -> None:
    with pytest.raises(Invalid):
        read_quantities({"quantity-tier-1": typed}, concert)


def test_only_a_sensible_choice_is_kept(concert: Concert) -> None:
    assert kept_quantities({"quantity-tier-1": "3"}, concert) == {"tier-1": 3}
    assert kept_quantities({"quantity-tier-1": "500"}, concert) == {"tier-1": 10}
    assert kept_quantities({"quantity-tier-1": "<b>"}, concert) == {}


def test_a_form_without_its_key_is_refused() -> None:
    assert key_of({"idempotency_key": (key := new_key())}) == key
    for key in ("", "x" * 32, "a" * 33):
        with pytest.raises(Invalid):
            key_of({"idempotency_key": key})
