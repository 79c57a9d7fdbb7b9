from __future__ import annotations

from services.gateway.web.addresses import login_address, own_path


def test_the_way_back_stands_in_the_login_address() -> None:
    assert login_address("/orders?after=x&y=1") == "/login?next=%2Forders%3Fafter%3Dx%26y%3D1"
    assert login_address("//evil.example") == "/login"


def test_a_referrer_of_another_host_is_not_gone_back_to() -> None:
    assert own_path("https://shop.example/orders?a=1", "shop.example") == "/orders?a=1"
    assert own_path("https://evil.example/orders", "shop.example") == "/"


def test_a_referrer_that_is_no_address_leads_home() -> None:
    assert own_path("http://[", "shop.example") == "/"
