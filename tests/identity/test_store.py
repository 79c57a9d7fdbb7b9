"""The statements of identity, on a real Postgres, by its clock."""

from __future__ import annotations

import asyncio
import secrets
from uuid import uuid4

import pytest
from tortoise.exceptions import IntegrityError

from services.defaults.database import Database
from services.identity.domain import Origin, RevokeReason, TokenState, User, token_digest
from services.identity.store import NewFamily, Pace, Store

HOME = Origin("192.0.2.7", "browser")
ELSEWHERE = Origin("203.0.113.9", "script")


def a_user(email: str = "ann@example.com") -> User:
    return User(uuid4(), email, "Ann")


def a_digest() -> str:
    return token_digest(secrets.token_urlsafe(32))


async def log_in(store: Store, user: User | None = None) -> tuple[User, str]:
    """A new account with one login; the digest of its refresh token."""
    user, digest = user or a_user(), a_digest()
    assert await store.insert_user_with_family(user, "hash", NewFamily(uuid4(), digest, HOME))
    return user, digest


async def age(database: Database, seconds: float) -> None:
    """Lets time pass: everything stored of logins is so much older."""
    past = "make_interval(secs => $1)"
    await database.execute(
        f"UPDATE refresh_tokens SET created_at = created_at - {past}, expires_at = expires_at - {past},"
        f" spent_at = spent_at - {past}",
        seconds,
    )
    await database.execute(f"UPDATE token_families SET expires_at = expires_at - {past}", seconds)


async def test_one_address_has_one_account_whatever_its_case(store: Store) -> None:
    assert await store.insert_user(a_user("ann@example.com"), "hash")
    assert not await store.insert_user(a_user("Ann@Example.com"), "hash")


async def test_of_parallel_registrations_one_wins_and_only_it_is_logged_in(store: Store, database: Database) -> None:
    wishes = [store.insert_user_with_family(a_user(), "hash", NewFamily(uuid4(), a_digest(), HOME)) for _ in range(8)]
    assert sorted(await asyncio.gather(*wishes)) == [False] * 7 + [True]
    assert await count(database, "token_families") == 1


async def test_credentials_are_found_by_address(store: Store) -> None:
    user, _ = await log_in(store)
    found = await store.select_credentials(user.email)
    assert found is not None
    assert (found.user, found.password_hash) == (user, "hash")
    assert await store.select_credentials("nobody@example.com") is None
    assert await store.select_user(user.id) == user
    assert await store.select_user(uuid4()) is None


async def test_a_hash_is_replaced_only_where_it_is_still_the_old_one(store: Store) -> None:
    user, _ = await log_in(store)
    await store.update_password_hash(user.id, old="another", new="lost")
    await store.update_password_hash(user.id, old="hash", new="stronger")
    found = await store.select_credentials(user.email)
    assert found is not None
    assert found.password_hash == "stronger"


async def test_a_rotation_spends_the_token_and_its_successor_works(store: Store) -> None:
    user, first = await log_in(store)
    second, third = a_digest(), a_digest()
    assert await store.rotate_token(first, second) == user
    assert await store.rotate_token(first, a_digest()) is None
    assert await store.rotate_token(second, third) == user


async def test_of_20_parallel_rotations_exactly_one_wins_and_the_login_survives(
    store: Store, database: Database
) -> None:
    user, token = await log_in(store)
    successors = [a_digest() for _ in range(20)]
    results = await asyncio.gather(*(store.rotate_token(token, successor) for successor in successors))
    winners = [successor for successor, result in zip(successors, results, strict=True) if result]
    assert len(winners) == 1
    assert await count(database, "refresh_tokens") == 2
    assert await store.rotate_token(winners[0], a_digest()) == user


async def test_a_rotation_that_cannot_store_its_successor_leaves_the_token_unspent(store: Store) -> None:
    user, token = await log_in(store)
    with pytest.raises(IntegrityError):
        await store.rotate_token(token, token)  # its digest is taken: the insert fails after the update
    assert await store.select_token_state(token) == TokenState(revoked=False, spent_ago_s=None)
    assert await store.rotate_token(token, a_digest()) == user


async def test_the_database_refuses_a_second_live_token_in_a_family(store: Store, database: Database) -> None:
    await log_in(store)
    with pytest.raises(IntegrityError):
        await database.fetch(
            "INSERT INTO refresh_tokens (token_hash, family_id, created_at, expires_at)"
            " SELECT $1, id, now(), now() + interval '1 day' FROM token_families",
            a_digest(),
        )


async def test_an_expired_token_is_not_rotated(store: Store, database: Database) -> None:
    _, token = await log_in(store)
    await age(database, 3601)
    assert await store.rotate_token(token, a_digest()) is None
    assert await store.select_token_state(token) == TokenState(revoked=False, spent_ago_s=None)


async def test_no_rotation_outlives_its_family(store: Store, database: Database) -> None:
    _, token = await log_in(store)
    await database.execute("UPDATE token_families SET expires_at = now() + interval '60 seconds'")
    successor = a_digest()
    assert await store.rotate_token(token, successor)
    row = await database.fetch_one(
        "SELECT extract(epoch FROM expires_at - now())::float8 AS left_s FROM refresh_tokens WHERE token_hash = $1",
        successor,
    )
    assert row is not None
    assert 0 < row["left_s"] <= 60


async def test_a_spent_token_tells_how_long_ago(store: Store, database: Database) -> None:
    _, token = await log_in(store)
    await store.rotate_token(token, a_digest())
    await age(database, 30)
    state = await store.select_token_state(token)
    assert state is not None
    assert state.spent_ago_s == pytest.approx(30, abs=5)
    assert await store.select_token_state(a_digest()) is None


async def test_a_revocation_ends_every_token_and_keeps_who_when_and_why(store: Store, database: Database) -> None:
    user, first = await log_in(store)
    second = a_digest()
    await store.rotate_token(first, second)
    assert await store.revoke_family(first, RevokeReason.REPLAY, ELSEWHERE) == user.id
    assert await store.rotate_token(second, a_digest()) is None
    row = await database.fetch_one(
        "SELECT revoked_reason, revoked_address, revoked_user_agent, revoked_at <= now() AS past, user_id"
        " FROM token_families"
    )
    assert row == {
        "revoked_reason": "REPLAY",
        "revoked_address": "203.0.113.9",
        "revoked_user_agent": "script",
        "past": True,
        "user_id": user.id,
    }


async def test_the_first_revocation_stands(store: Store, database: Database) -> None:
    _, token = await log_in(store)
    await store.revoke_family(token, RevokeReason.LOGOUT, HOME)
    assert await store.revoke_family(token, RevokeReason.REPLAY, ELSEWHERE) is None
    row = await database.fetch_one("SELECT revoked_reason FROM token_families")
    assert row == {"revoked_reason": "LOGOUT"}


async def test_a_revocation_leaves_the_other_logins_alone(store: Store) -> None:
    user, phone = await log_in(store)
    laptop = a_digest()
    await store.insert_family(user.id, NewFamily(uuid4(), laptop, HOME))
    await store.revoke_family(phone, RevokeReason.LOGOUT, HOME)
    assert await store.rotate_token(laptop, a_digest()) == user


async def test_exactly_the_limit_of_parallel_guesses_is_counted(store: Store) -> None:
    pace = Pace(limit=5, period_s=900)
    waits = await asyncio.gather(*(store.take_attempt("account:x", pace, wrong=True) for _ in range(20)))
    assert waits.count(0.0) == 5
    assert all(170 < wait <= 180 for wait in waits if wait)  # a fifth of the period, less what has passed
    assert 170 < await store.select_wait("account:x", pace) <= 180


async def test_guesses_are_counted_apart_and_right_attempts_not_at_all(store: Store) -> None:
    pace = Pace(limit=1, period_s=60)
    assert await store.select_wait("account:x", pace) == 0
    right = [store.take_attempt("account:x", pace, wrong=False) for _ in range(50)]
    assert await asyncio.gather(*right) == [0] * 50
    assert await store.select_wait("account:x", pace) == 0
    for key in ("account:x", "account:y"):
        assert await store.take_attempt(key, pace, wrong=True) == 0
    for wrong in (True, False):
        assert await store.take_attempt("account:x", pace, wrong=wrong) > 0


async def test_the_pace_recovers_with_time(store: Store, database: Database) -> None:
    pace = Pace(limit=2, period_s=60)
    assert [await store.take_attempt("k", pace, wrong=True) > 0 for _ in range(3)] == [False, False, True]
    await database.execute("UPDATE login_throttles SET arrival_at = arrival_at - interval '30 seconds'")
    assert [await store.take_attempt("k", pace, wrong=True) > 0 for _ in range(2)] == [False, True]


async def test_pruning_deletes_what_expired_long_ago_and_nothing_else(store: Store, database: Database) -> None:
    old, _ = await log_in(store)
    await store.take_attempt("idle", Pace(1, 0.001), wrong=True)
    await age(database, 2 * 86_400)
    _, fresh = await log_in(store, a_user("bob@example.com"))
    await store.take_attempt("busy", Pace(1, 900), wrong=True)
    assert await store.prune(older_than_s=3 * 86_400) == 1  # only the idle throttle
    assert await store.prune(older_than_s=3600) == 1  # the old login; its token goes with it
    assert await store.select_token_state(fresh) is not None
    assert await store.select_user(old.id) == old
    assert await count(database, "refresh_tokens") == await count(database, "login_throttles") == 1


async def count(database: Database, table: str) -> int:
    row = await database.fetch_one(f"SELECT count(*)::int AS rows FROM {table}")
    assert row is not None
    return int(row["rows"])
