"""Every query of the identity database. The database's clock decides what has expired.

Methods raise `services.defaults.errors.Unavailable` while the database is away.
"""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from services.defaults.database import Database
from services.identity.domain import Origin, RevokeReason, TokenState, User


@dataclass(frozen=True)
class Credentials:
    """An account with what its password is checked against."""

    user: User
    password_hash: str


@dataclass(frozen=True)
class Lifetimes:
    """How long a refresh token lives unused, and its family at most, in seconds."""

    token_s: float
    family_s: float


@dataclass(frozen=True)
class NewFamily:
    """A login to be: the family's id, the digest of its first token, and where it comes from."""

    id: UUID
    token_hash: str
    origin: Origin


@dataclass(frozen=True)
class Pace:
    """At most `limit` attempts in a burst, and as many again spread over each `period_s` seconds."""

    limit: int
    period_s: float

    @property
    def step_s(self) -> float:
        return self.period_s / self.limit

    @property
    def burst_s(self) -> float:
        return self.period_s - self.step_s


_INSERT_USER = """
INSERT INTO users (id, email, name, password_hash, created_at) VALUES ($1, $2, $3, $4, now())
ON CONFLICT (lower(email)) DO NOTHING
RETURNING id, email, name
"""

_INSERT_FAMILY = """
WITH family AS (
    INSERT INTO token_families (id, user_id, created_at, expires_at, address, user_agent)
    VALUES ($1, $2, now(), now() + make_interval(secs => $3), $4, $5)
    RETURNING id, expires_at
)
INSERT INTO refresh_tokens (token_hash, family_id, created_at, expires_at)
SELECT $6, id, now(), least(now() + make_interval(secs => $7), expires_at) FROM family
"""

# One statement: of two concurrent uses the second waits for the first's row lock, finds the token spent and
# changes nothing; a crash leaves either both the spent mark and the successor, or neither.
_ROTATE = """
WITH spent AS (
    UPDATE refresh_tokens AS token SET spent_at = now()
    FROM token_families AS family
    WHERE token.token_hash = $1 AND token.spent_at IS NULL AND token.expires_at > now()
      AND family.id = token.family_id AND family.revoked_at IS NULL AND family.expires_at > now()
    RETURNING token.family_id, family.user_id, family.expires_at AS family_expires_at
), successor AS (
    INSERT INTO refresh_tokens (token_hash, family_id, created_at, expires_at)
    SELECT $2, family_id, now(), least(now() + make_interval(secs => $3), family_expires_at) FROM spent
)
SELECT users.id, users.email, users.name FROM spent JOIN users ON users.id = spent.user_id
"""

_SELECT_STATE = """
SELECT family.revoked_at IS NOT NULL AS revoked,
       extract(epoch FROM now() - token.spent_at)::float8 AS spent_ago_s,
       EXISTS (SELECT FROM refresh_tokens AS later WHERE later.family_id = token.family_id
               AND later.created_at > token.created_at AND later.spent_at IS NOT NULL) AS outlived
FROM refresh_tokens AS token JOIN token_families AS family ON family.id = token.family_id
WHERE token.token_hash = $1
"""

_REVOKE_FAMILY = """
UPDATE token_families AS family
SET revoked_at = now(), revoked_reason = $2, revoked_address = $3, revoked_user_agent = $4
FROM refresh_tokens AS token
WHERE token.token_hash = $1 AND family.id = token.family_id AND family.revoked_at IS NULL
RETURNING family.user_id
"""

# The generic cell rate algorithm (ITU-T I.371) in one upsert: exact under concurrency, over any number of
# instances, by one clock. No row comes back where the attempt is ahead of the pace. With a step of 0 it counts
# nothing, and is refused alike. The clock is read once the row is locked: `now()` may be older than what is in it.
_TAKE_ATTEMPT = """
INSERT INTO login_throttles AS throttle (key, arrival_at) VALUES ($1, now() + make_interval(secs => $2))
ON CONFLICT (key) DO UPDATE
SET arrival_at = greatest(throttle.arrival_at, now()) + make_interval(secs => $2)
WHERE throttle.arrival_at <= clock_timestamp() + make_interval(secs => $3)
RETURNING key
"""

_SELECT_WAIT = """
SELECT extract(epoch FROM arrival_at - now())::float8 AS ahead_s FROM login_throttles WHERE key = $1
"""

_PRUNE_HISTORY = (
    "DELETE FROM token_families WHERE expires_at < now() - make_interval(secs => $1)",
    "DELETE FROM refresh_tokens WHERE expires_at < now() - make_interval(secs => $1)",
)
_PRUNE_THROTTLES = "DELETE FROM login_throttles WHERE arrival_at < now()"


class Store:
    """Accounts, logins and the pace of login attempts."""

    def __init__(self, database: Database, lifetimes: Lifetimes) -> None:
        self._database = database
        self._lifetimes = lifetimes

    async def insert_user(self, user: User, password_hash: str) -> bool:
        """False if the e-mail address has an account already."""
        row = await self._database.fetch_one(_INSERT_USER, user.id, user.email, user.name, password_hash)
        return row is not None

    async def insert_user_with_family(self, user: User, password_hash: str, family: NewFamily) -> bool:
        """The account and its first login, both or neither. False if the address has an account already."""
        async with self._database.transaction():
            inserted = await self.insert_user(user, password_hash)
            if inserted:
                await self.insert_family(user.id, family)
        return inserted

    async def select_credentials(self, email: str) -> Credentials | None:
        """`email` in its normal form."""
        row = await self._database.fetch_one(
            "SELECT id, email, name, password_hash FROM users WHERE lower(email) = $1", email
        )
        return Credentials(_user(row), row["password_hash"]) if row else None

    async def select_user(self, user_id: UUID) -> User | None:
        row = await self._database.fetch_one("SELECT id, email, name FROM users WHERE id = $1", user_id)
        return _user(row) if row else None

    async def update_password_hash(self, user_id: UUID, *, old: str, new: str) -> None:
        """Replaces a hash by a stronger one of the same password, unless the password changed meanwhile."""
        await self._database.execute(
            "UPDATE users SET password_hash = $3 WHERE id = $1 AND password_hash = $2", user_id, old, new
        )

    async def insert_family(self, user_id: UUID, family: NewFamily) -> None:
        await self._database.execute(
            _INSERT_FAMILY,
            family.id,
            user_id,
            self._lifetimes.family_s,
            family.origin.address,
            family.origin.user_agent,
            family.token_hash,
            self._lifetimes.token_s,
        )

    async def rotate_token(self, token_hash: str, successor_hash: str) -> User | None:
        """Spends a token and stores its successor. None, and nothing changed, if it is not to be had."""
        row = await self._database.fetch_one(_ROTATE, token_hash, successor_hash, self._lifetimes.token_s)
        return _user(row) if row else None

    async def select_token_state(self, token_hash: str) -> TokenState | None:
        row = await self._database.fetch_one(_SELECT_STATE, token_hash)
        return TokenState(**row) if row else None

    async def revoke_family(self, token_hash: str, reason: RevokeReason, origin: Origin) -> UUID | None:
        """Ends the family that a token belongs to; whose it was, or None if there was nothing to end.

        The first revocation stands: a later one does not overwrite who ended it and why.
        """
        row = await self._database.fetch_one(
            _REVOKE_FAMILY, token_hash, reason.value, origin.address, origin.user_agent
        )
        return row["user_id"] if row else None

    async def select_wait(self, key: str, pace: Pace) -> float:
        """Seconds until an attempt is within the pace; 0 if it is now."""
        row = await self._database.fetch_one(_SELECT_WAIT, key)
        return max(0.0, row["ahead_s"] - pace.burst_s) if row else 0.0

    async def take_attempt(self, key: str, pace: Pace, *, wrong: bool) -> float:
        """0 if an attempt is within the pace: a wrong one counts. Else it was not counted: seconds to wait.

        A right one goes the same way, so that nobody can tell the two apart by the time that a refusal takes.
        """
        step_s = pace.step_s if wrong else 0.0
        if await self._database.fetch_one(_TAKE_ATTEMPT, key, step_s, pace.burst_s):
            return 0.0
        return max(1.0, await self.select_wait(key, pace))

    async def prune(self, *, older_than_s: float) -> int:
        """Deletes idle throttles, and logins that expired over `older_than_s` seconds ago; how many rows."""
        rows = await self._database.execute(_PRUNE_THROTTLES)
        for statement in _PRUNE_HISTORY:
            rows += await self._database.execute(statement, older_than_s)
        return rows


def _user(row: dict[str, object]) -> User:
    return User(UUID(str(row["id"])), str(row["email"]), str(row["name"]))
