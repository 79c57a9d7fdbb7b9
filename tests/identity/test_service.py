"""The use cases, on a real Postgres."""

from __future__ import annotations

import asyncio
import dataclasses
import logging
from collections.abc import Awaitable, Callable
from unittest.mock import patch

import argon2
import pytest

from services.defaults.auth import TokenVerifier
from services.defaults.database import Database
from services.defaults.errors import Conflict, Invalid, RateLimited, Unauthorized, Unavailable
from services.identity.domain import Origin
from services.identity.passwords import PasswordHasher, Verdict
from services.identity.pruning import Pruner
from services.identity.seed import DEMO_EMAIL, DEMO_PASSWORD, seed_demo_buyer
from services.identity.service import IdentityService, Session
from services.identity.store import Pace, Store

EMAIL, PASSWORD = "ann@example.com", "correct horse battery"
HOME = Origin("192.0.2.7", "browser")
ELSEWHERE = Origin("203.0.113.9", "script")


async def register(service: IdentityService, email: str = EMAIL) -> Session:
    return await service.register(email=email, password=PASSWORD, name="Ann", origin=HOME)


async def guess(service: IdentityService, email: str = EMAIL, origin: Origin = HOME) -> Exception:
    with pytest.raises((Unauthorized, RateLimited)) as refused:
        await service.log_in(email=email, password="a wrong password", origin=origin)
    return refused.value


async def let_leeway_pass(database: Database) -> None:
    await database.execute("UPDATE refresh_tokens SET spent_at = spent_at - interval '11 seconds'")


async def test_a_session_speaks_for_its_account(service: IdentityService) -> None:
    session = await register(service)
    verifier = TokenVerifier(
        secret="a signing key of the tests, 32 bytes or more",
        issuer="https://ticketflow.test",
        audience="ticketflow",
    )
    principal = verifier.verify(session.access_token)
    assert (principal.subject, principal.email, principal.name) == (str(session.user.id), EMAIL, "Ann")
    assert principal.scopes == {"orders", "profile"}
    assert session.expires_in_s == 900
    assert await service.find_user(principal.subject) == session.user


async def test_a_refresh_token_has_256_bits_and_is_not_stored(service: IdentityService, database: Database) -> None:
    session = await register(service)
    assert len(session.refresh_token) == 43  # 32 bytes as base64url
    rows = await database.fetch("SELECT token_hash FROM refresh_tokens")
    assert session.refresh_token not in str(rows)


async def test_an_address_registers_once(service: IdentityService) -> None:
    await register(service)
    with pytest.raises(Conflict) as refused:
        await register(service, EMAIL.upper())
    assert "email" in refused.value.fields


async def test_a_refused_registration_leaves_nothing(service: IdentityService, store: Store) -> None:
    with pytest.raises(Invalid):
        await service.register(email=EMAIL, password="short", name="Ann", origin=HOME)
    assert await store.select_credentials(EMAIL) is None


async def test_a_login_takes_the_address_as_it_is_typed(service: IdentityService) -> None:
    session = await register(service)
    again = await service.log_in(email=f" {EMAIL.title()}", password=PASSWORD, origin=HOME)
    assert again.user == session.user
    assert again.refresh_token != session.refresh_token


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com", "not an address"])
async def test_a_failed_login_does_not_tell_who_has_an_account(service: IdentityService, email: str) -> None:
    await register(service)
    error = await guess(service, email)
    assert isinstance(error, Unauthorized)
    assert (error.message, error.fields) == ("E-mail or password is wrong.", {})


@pytest.mark.parametrize("email", [EMAIL, "nobody@example.com"])
async def test_guesses_at_one_account_are_limited_whether_it_exists_or_not(
    service: IdentityService, email: str
) -> None:
    await register(service)
    origins = [Origin(f"192.0.2.{i}", "script") for i in range(8)]
    errors = [await guess(service, email, origin) for origin in origins]
    assert [type(error) for error in errors] == [Unauthorized] * 5 + [RateLimited] * 3
    assert isinstance(errors[-1], RateLimited)
    assert 0 < (errors[-1].retry_after_s or 0) <= 180


async def test_guesses_in_parallel_all_count(service: IdentityService) -> None:
    await register(service)
    errors = await asyncio.gather(*(guess(service) for _ in range(20)))
    assert sum(isinstance(error, Unauthorized) for error in errors) == 5


async def test_right_passwords_in_parallel_are_no_guesses(service: IdentityService) -> None:
    await register(service)
    elsewhere = [Origin(f"192.0.2.{i}", "browser") for i in range(15)]
    logins = [service.log_in(email=EMAIL, password=PASSWORD, origin=origin) for origin in [HOME] * 25 + elsewhere]
    assert len(await asyncio.gather(*logins)) == 40
    assert isinstance(await guess(service), Unauthorized)


@pytest.mark.parametrize("password", [PASSWORD, "a wrong password"])
async def test_what_is_looked_at_when_the_limit_is_reached_is_not_told_right_or_wrong(
    service: IdentityService, password: str
) -> None:
    await register(service)
    begun, may_end, verify = asyncio.Event(), asyncio.Event(), PasswordHasher.verify

    async def slow(hasher: PasswordHasher, stored: str | None, guessed: str) -> Verdict:
        verdict = await verify(hasher, stored, guessed)
        begun.set()
        await may_end.wait()
        return verdict

    with patch.object(PasswordHasher, "verify", slow):
        late = asyncio.create_task(service.log_in(email=EMAIL, password=password, origin=ELSEWHERE))
        await asyncio.wait_for(begun.wait(), 10)
    for _ in range(5):
        assert isinstance(await guess(service), Unauthorized)
    may_end.set()
    with pytest.raises(RateLimited):
        await late


async def test_what_a_limited_account_refuses_counts_against_no_address(service: IdentityService) -> None:
    errors = [await guess(service) for _ in range(25)]
    assert [type(error) for error in errors] == [Unauthorized] * 5 + [RateLimited] * 20
    assert isinstance(await guess(service, "user1@example.com"), Unauthorized)


async def test_a_limited_account_refuses_even_the_right_password(service: IdentityService) -> None:
    await register(service)
    for _ in range(5):
        await guess(service)
    with pytest.raises(RateLimited):
        await service.log_in(email=EMAIL, password=PASSWORD, origin=HOME)


async def test_guesses_from_one_address_are_limited_over_all_accounts(service: IdentityService) -> None:
    errors = [await guess(service, f"user{i}@example.com") for i in range(22)]
    assert [type(error) for error in errors] == [Unauthorized] * 20 + [RateLimited] * 2
    assert isinstance(await guess(service, "user1@example.com", ELSEWHERE), Unauthorized)


async def test_what_is_no_address_is_limited_each_by_itself(service: IdentityService) -> None:
    errors = [await guess(service, "ann@example") for _ in range(6)]
    assert [type(error) for error in errors] == [Unauthorized] * 5 + [RateLimited]
    assert isinstance(await guess(service, "bob@example"), Unauthorized)


async def test_right_logins_count_against_no_one(service: IdentityService) -> None:
    await register(service)
    for _ in range(8):
        assert await service.log_in(email=EMAIL, password=PASSWORD, origin=HOME)


async def test_a_login_that_is_turned_away_for_load_is_no_wrong_guess(service: IdentityService) -> None:
    await register(service)
    policy = dataclasses.replace(service.policy(), per_account=Pace(1, 900))
    tight = dataclasses.replace(service, policy=lambda: policy)
    with patch.object(PasswordHasher, "verify", side_effect=Unavailable("full")), pytest.raises(Unavailable):
        await tight.log_in(email=EMAIL, password=PASSWORD, origin=HOME)
    assert await tight.log_in(email=EMAIL, password=PASSWORD, origin=HOME)


async def test_a_login_renews_a_hash_of_old_parameters(service: IdentityService, store: Store) -> None:
    session = await register(service)
    credentials = await store.select_credentials(EMAIL)
    assert credentials is not None
    weak = argon2.PasswordHasher(time_cost=1, memory_cost=32, parallelism=1).hash(PASSWORD)
    await store.update_password_hash(session.user.id, old=credentials.password_hash, new=weak)
    await service.log_in(email=EMAIL, password=PASSWORD, origin=HOME)
    renewed = await store.select_credentials(EMAIL)
    assert renewed is not None
    assert "m=64,t=1,p=1" in renewed.password_hash
    assert await service.log_in(email=EMAIL, password=PASSWORD, origin=HOME)


async def test_refresh_rotates_and_the_chain_goes_on(service: IdentityService) -> None:
    session = await register(service)
    for _ in range(3):
        successor = await service.refresh(session.refresh_token, HOME)
        assert successor.refresh_token != session.refresh_token
        assert successor.user == session.user
        session = successor


async def test_of_20_tabs_one_refreshes_and_all_stay_logged_in(service: IdentityService) -> None:
    token = (await register(service)).refresh_token
    results = await asyncio.gather(*(service.refresh(token, HOME) for _ in range(20)), return_exceptions=True)
    sessions = [result for result in results if isinstance(result, Session)]
    assert len(sessions) == 1
    assert sum(isinstance(result, Unauthorized) for result in results) == 19
    assert await service.refresh(sessions[0].refresh_token, HOME)


async def test_a_replay_after_the_leeway_ends_the_login_for_thief_and_owner(
    service: IdentityService, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    first = await register(service)
    second = await service.refresh(first.refresh_token, HOME)
    await let_leeway_pass(database)
    with caplog.at_level(logging.WARNING), pytest.raises(Unauthorized):
        await service.refresh(first.refresh_token, ELSEWHERE)
    with pytest.raises(Unauthorized):
        await service.refresh(second.refresh_token, HOME)
    row = await database.fetch_one("SELECT revoked_reason, revoked_address FROM token_families")
    assert row == {"revoked_reason": "REPLAY", "revoked_address": "203.0.113.9"}
    assert "refresh token replayed" in caplog.text


async def test_a_replay_leaves_the_other_logins_alone(service: IdentityService, database: Database) -> None:
    phone = await register(service)
    laptop = await service.log_in(email=EMAIL, password=PASSWORD, origin=HOME)
    await service.refresh(phone.refresh_token, HOME)
    await let_leeway_pass(database)
    with pytest.raises(Unauthorized):
        await service.refresh(phone.refresh_token, ELSEWHERE)
    assert await service.refresh(laptop.refresh_token, HOME)


async def test_an_unknown_refresh_token_is_refused(service: IdentityService) -> None:
    for token in ("", "x", "x" * 10_000):
        with pytest.raises(Unauthorized):
            await service.refresh(token, HOME)


async def test_logging_out_ends_the_login_once_and_for_all(service: IdentityService, database: Database) -> None:
    session = await register(service)
    for token in (session.refresh_token, session.refresh_token, "unknown"):
        await service.log_out(token, HOME)
    with pytest.raises(Unauthorized):
        await service.refresh(session.refresh_token, HOME)
    row = await database.fetch_one("SELECT revoked_reason FROM token_families")
    assert row == {"revoked_reason": "LOGOUT"}


async def test_logging_out_with_a_spent_token_ends_the_login_too(service: IdentityService) -> None:
    first = await register(service)
    second = await service.refresh(first.refresh_token, HOME)
    await service.log_out(first.refresh_token, HOME)
    with pytest.raises(Unauthorized):
        await service.refresh(second.refresh_token, HOME)


@pytest.mark.parametrize("subject", ["", "not-a-uuid", "00000000-0000-0000-0000-000000000000"])
async def test_a_token_for_no_account_is_refused(service: IdentityService, subject: str) -> None:
    with pytest.raises(Unauthorized):
        await service.find_user(subject)


async def test_nothing_secret_is_logged(
    service: IdentityService, database: Database, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    first = await register(service)
    second = await service.refresh(first.refresh_token, HOME)
    await let_leeway_pass(database)
    with pytest.raises(Unauthorized):
        await service.refresh(first.refresh_token, ELSEWHERE)
    for _ in range(6):
        await guess(service)
    everything = "\n".join(f"{record.getMessage()} {vars(record)}" for record in caplog.records)
    secrets = (PASSWORD, first.refresh_token, second.refresh_token, first.access_token, "a wrong password")
    assert "account opened" in everything
    assert not [secret for secret in secrets if secret in everything]


async def test_seeding_twice_changes_nothing(service: IdentityService, store: Store, hasher: PasswordHasher) -> None:
    assert await seed_demo_buyer(store, hasher)
    seeded = await store.select_credentials(DEMO_EMAIL)
    assert not await seed_demo_buyer(store, hasher)
    assert await store.select_credentials(DEMO_EMAIL) == seeded
    assert await service.log_in(email="demo@ticketflow.test", password=DEMO_PASSWORD, origin=HOME)


class Rounds:
    """A store whose `prune` does `work`, and which tells when it has been asked three times."""

    def __init__(self, work: Callable[[], Awaitable[int]]) -> None:
        self.work, self.asked, self.thrice = work, 0, asyncio.Event()

    async def prune(self, *, older_than_s: float) -> int:
        assert older_than_s == 90
        self.asked += 1
        if self.asked == 3:
            self.thrice.set()
        return await self.work()


async def away() -> int:
    raise Unavailable("The database is away.")


async def nothing() -> int:
    return 0


@pytest.mark.parametrize("work", [nothing, away])
async def test_the_pruner_goes_on_until_it_is_told_to_stop(work: Callable[[], Awaitable[int]]) -> None:
    store, stop = Rounds(work), asyncio.Event()
    pruning = asyncio.create_task(Pruner(store, interval_s=0.001, history_s=90).run(stop))
    await asyncio.wait_for(store.thrice.wait(), 5)
    assert not pruning.done()  # neither an empty round nor a failed one has ended it
    stop.set()
    await asyncio.wait_for(pruning, 1)
