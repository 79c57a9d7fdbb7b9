from __future__ import annotations

from urllib.parse import urljoin, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.defaults.addresses import safe_next

OPEN_REDIRECTS = [
    "https://evil.example",
    "http:evil.example",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "\t//evil.example",
    " //evil.example",
    "/%0a/../..//evil.example",
    "/a//evil.example",
    "/../evil",
    "javascript:alert(1)",
    "data:text/html,x",
    "/\x00/evil",
    "/\x7f/evil",
    "/ä",
    "@evil.example",
    "evil.example",
    "",
    "/" + "a" * 2001,
]


@pytest.mark.parametrize("target", OPEN_REDIRECTS)
def test_what_could_leave_the_site_leads_home(target: str) -> None:
    assert safe_next(target) == "/"


@pytest.mark.parametrize("target", ["/", "/orders", "/concerts/night-1?quantity-t1=2", "/concerts?text=a%20b#results"])
def test_paths_of_the_site_are_kept(target: str) -> None:
    assert safe_next(target) == target


@given(st.text(max_size=60))
def test_no_text_leads_to_another_host(target: str) -> None:
    assert urlsplit(urljoin("https://shop.example/login", safe_next(target))).netloc == "shop.example"
