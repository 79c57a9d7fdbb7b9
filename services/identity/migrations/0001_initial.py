from uuid import uuid4

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="LoginThrottle",
            fields=[
                ("key", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=80)),
                ("arrival_at", fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "login_throttles",
                "app": "identity",
                "pk_attr": "key",
                "table_description": "How far ahead of the allowed pace one account's or one address's login attempts are.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="User",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                ("email", fields.CharField(max_length=254)),
                ("name", fields.CharField(max_length=80)),
                ("password_hash", fields.CharField(max_length=255)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "users",
                "app": "identity",
                "pk_attr": "id",
                "table_description": "A buyer's account. `email` is in its normal form (`domain.normalise_email`).",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="TokenFamily",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                (
                    "user",
                    fields.ForeignKeyField(
                        "identity.User",
                        source_field="user_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="families",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("expires_at", fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
                ("address", fields.CharField(max_length=45)),
                ("user_agent", fields.CharField(max_length=200)),
                ("revoked_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("revoked_reason", fields.CharField(null=True, max_length=20)),
                ("revoked_address", fields.CharField(null=True, max_length=45)),
                ("revoked_user_agent", fields.CharField(null=True, max_length=200)),
            ],
            options={
                "table": "token_families",
                "app": "identity",
                "pk_attr": "id",
                "table_description": "One login on one device: the chain of refresh tokens that descend from it.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="RefreshToken",
            fields=[
                ("token_hash", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                (
                    "family",
                    fields.ForeignKeyField(
                        "identity.TokenFamily",
                        source_field="family_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="tokens",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("expires_at", fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
                ("spent_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "refresh_tokens",
                "app": "identity",
                "pk_attr": "token_hash",
                "table_description": "One refresh token, known only by its SHA-256 in hex. Spent ones stay: they are how a replay is recognised.",
            },
            bases=["Model"],
        ),
    ]
