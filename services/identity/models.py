"""The tables of the identity database.

The hot statements are SQL in `store.py`; what Tortoise cannot say (checks, the index on lower(email), the
partial unique index) is SQL in the migrations.
"""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model


class User(Model):
    """A buyer's account. `email` is in its normal form (`domain.normalise_email`)."""

    id = fields.UUIDField(primary_key=True)
    email = fields.CharField(max_length=254)  # RFC 5321, 4.5.3.1.3, less the angle brackets
    name = fields.CharField(max_length=80)
    password_hash = fields.CharField(max_length=255)  # PHC string, argon2id
    created_at = fields.DatetimeField()

    class Meta:
        table = "users"


class TokenFamily(Model):
    """One login on one device: the chain of refresh tokens that descend from it.

    A revoked family stays until it is pruned, so that who revoked it, when and why can be told.
    """

    id = fields.UUIDField(primary_key=True)
    user: fields.ForeignKeyRelation[User] = fields.ForeignKeyField("identity.User", related_name="families")
    created_at = fields.DatetimeField()
    expires_at = fields.DatetimeField(db_index=True)  # absolute: no rotation outlives it
    address = fields.CharField(max_length=45)  # the longest textual IPv6 address
    user_agent = fields.CharField(max_length=200)
    revoked_at = fields.DatetimeField(null=True)
    revoked_reason = fields.CharField(max_length=20, null=True)
    revoked_address = fields.CharField(max_length=45, null=True)
    revoked_user_agent = fields.CharField(max_length=200, null=True)

    class Meta:
        table = "token_families"


class RefreshToken(Model):
    """One refresh token, known only by its SHA-256 in hex. Spent ones stay: they give a replay away."""

    token_hash = fields.CharField(max_length=64, primary_key=True)
    family: fields.ForeignKeyRelation[TokenFamily] = fields.ForeignKeyField(
        "identity.TokenFamily", related_name="tokens"
    )
    created_at = fields.DatetimeField()
    expires_at = fields.DatetimeField(db_index=True)
    spent_at = fields.DatetimeField(null=True)

    class Meta:
        table = "refresh_tokens"


class LoginThrottle(Model):
    """How far ahead of the allowed pace one account's or one address's login attempts are.

    `arrival_at` is the theoretical arrival time of the generic cell rate algorithm (ITU-T I.371).
    """

    key = fields.CharField(max_length=80, primary_key=True)
    arrival_at = fields.DatetimeField(db_index=True)

    class Meta:
        table = "login_throttles"
