from __future__ import annotations

import base64
import json
import time

import pytest
from joserfc import jwt
from joserfc.jwk import OctKey

from services.defaults.auth import SERVICE_TOKEN_TYPE, ServiceToken, TokenIssuer, TokenVerifier, bearer_token
from services.defaults.errors import Unauthorized

SECRET = "a" * 32
NOW = 2_000_000_000


def issuer(**changes: object) -> TokenIssuer:
    arguments = {"secret": SECRET, "issuer": "iss", "audience": "aud", "lifetime_s": 900} | changes
    return TokenIssuer(**arguments)  # type: ignore[arg-type] # a dict of mixed values


VERIFIER = TokenVerifier(secret=SECRET, issuer="iss", audience="aud")


def encode(header: dict[str, object], claims: dict[str, object]) -> str:
    parts = [json.dumps(part).encode() for part in (header, claims)] + [b"sig"]
    return ".".join(base64.urlsafe_b64encode(part).rstrip(b"=").decode() for part in parts)


def good_claims() -> dict[str, object]:
    return {"iss": "iss", "aud": "aud", "sub": "u", "exp": NOW * 2, "iat": 1, "jti": "j"}


def signed(header: dict[str, object], claims: dict[str, object], secret: str = SECRET) -> str:
    algorithm = str(header["alg"])
    return jwt.encode(header, claims, OctKey.import_key(secret), algorithms=[algorithm])


def test_a_good_token_says_whom_it_speaks_for() -> None:
    token = issuer().issue("user-1", scopes=["b", "a"], claims={"email": "e@x.test", "name": "E"})
    principal = VERIFIER.verify(token)
    assert (principal.subject, principal.email, principal.name) == ("user-1", "e@x.test", "E")
    assert principal.scopes == {"a", "b"}


def test_no_two_tokens_are_the_same() -> None:
    assert issuer().issue("u", now_s=NOW) != issuer().issue("u", now_s=NOW)


@pytest.mark.parametrize(
    "token",
    [
        "",
        "x",
        "a.b.c",
        "é.é.é",
        "A" * 5000,
        encode({"alg": "none", "typ": "at+jwt"}, good_claims()),
        encode({"alg": "HS256", "typ": "at+jwt"}, good_claims()),
        signed({"alg": "HS512", "typ": "at+jwt"}, good_claims(), "a" * 64),
        signed({"alg": "HS256", "typ": "at+jwt"}, good_claims(), "b" * 32),
        signed({"alg": "HS256", "typ": "JWT"}, good_claims()),
        signed({"alg": "HS256"}, good_claims()),
        signed({"alg": "HS256", "typ": SERVICE_TOKEN_TYPE}, good_claims()),
        issuer(issuer="other").issue("u"),
        issuer(audience="other").issue("u"),
        issuer().issue("u", now_s=1000),
        issuer().issue("u", now_s=NOW * 2),
    ],
)
def test_anything_else_is_refused(token: str) -> None:
    with pytest.raises(Unauthorized):
        VERIFIER.verify(token)


@pytest.mark.parametrize("claim", ["iss", "aud", "sub", "exp", "iat", "jti"])
def test_no_claim_may_be_missing(claim: str) -> None:
    claims = {key: value for key, value in good_claims().items() if key != claim}
    with pytest.raises(Unauthorized):
        VERIFIER.verify(signed({"alg": "HS256", "typ": "at+jwt"}, claims))


def test_an_unknown_critical_header_is_refused() -> None:
    token = encode({"alg": "HS256", "typ": "at+jwt", "crit": ["x"], "x": 1}, good_claims())
    with pytest.raises(Unauthorized):
        VERIFIER.verify(token)


def test_clocks_may_differ_by_the_leeway_only() -> None:
    lifetime = 60
    just_over = issuer(lifetime_s=lifetime).issue("u", now_s=time.time() - lifetime - 5)
    long_over = issuer(lifetime_s=lifetime).issue("u", now_s=time.time() - lifetime - 60)
    assert VERIFIER.verify(just_over).subject == "u"
    with pytest.raises(Unauthorized):
        VERIFIER.verify(long_over)


def test_the_issuer_s_clock_may_be_ahead() -> None:
    assert VERIFIER.verify(issuer().issue("u", now_s=time.time() + 90)).subject == "u"
    with pytest.raises(Unauthorized):
        VERIFIER.verify(issuer().issue("u", now_s=time.time() + 600))


def test_a_service_keeps_its_token_for_half_its_life() -> None:
    clock = [time.time()]
    token = ServiceToken(issuer(lifetime_s=100), "ordering", now_s=lambda: clock[0])
    first = token.current()
    assert VERIFIER.verify(first).subject == "ordering"
    clock[0] += 49
    assert token.current() == first
    clock[0] += 2
    assert token.current() != first


def test_a_service_s_token_from_a_time_that_was_taken_back_is_made_anew() -> None:
    clock = [time.time() + 3600]
    token = ServiceToken(issuer(lifetime_s=100), "ordering", now_s=lambda: clock[0])
    token.current()
    clock[0] -= 3600
    assert VERIFIER.verify(token.current()).subject == "ordering"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Basic abc", "token"])
def test_a_header_without_a_bearer_token_is_refused(header: str | None) -> None:
    with pytest.raises(Unauthorized):
        bearer_token(header)


def test_the_scheme_of_the_header_has_no_case() -> None:
    assert bearer_token("bearer abc") == bearer_token("Bearer abc") == "abc"
