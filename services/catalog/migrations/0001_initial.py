from uuid import uuid4

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="Hold",
            fields=[
                ("order_id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                ("concert_id", fields.UUIDField()),
                ("fingerprint", fields.TextField(unique=False)),
                ("quantity", fields.IntField()),
                ("state", fields.CharField(max_length=9)),
                ("channel", fields.CharField(default="SHOP", max_length=10)),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=True)),
            ],
            options={
                "table": "holds",
                "app": "catalog",
                "pk_attr": "order_id",
                "table_description": "What one order has asked for and how far that went; its tickets name it in turn.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Venue",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                ("name", fields.TextField(unique=False)),
                ("city", fields.TextField(unique=False)),
                ("city_key", fields.TextField(unique=False)),
                ("country", fields.CharField(max_length=2)),
                ("address", fields.TextField(unique=False)),
                ("time_zone", fields.TextField(unique=False)),
            ],
            options={"table": "venues", "app": "catalog", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Concert",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                (
                    "venue",
                    fields.ForeignKeyField(
                        "catalog.Venue",
                        source_field="venue_id",
                        db_constraint=True,
                        to_field="id",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("slug", fields.CharField(unique=True, max_length=100)),
                ("title", fields.TextField(unique=False)),
                ("title_key", fields.TextField(unique=False)),
                ("artist", fields.TextField(unique=False)),
                ("genre", fields.TextField(unique=False)),
                ("genre_key", fields.TextField(unique=False)),
                ("description", fields.TextField(unique=False)),
                ("search_text", fields.TextField(unique=False)),
                ("starts_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("doors_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("on_sale_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("sort_price_minor", fields.BigIntField()),
            ],
            options={"table": "concerts", "app": "catalog", "pk_attr": "id"},
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Tier",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                (
                    "concert",
                    fields.ForeignKeyField(
                        "catalog.Concert",
                        source_field="concert_id",
                        db_constraint=True,
                        to_field="id",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("name", fields.TextField(unique=False)),
                ("price_minor", fields.BigIntField()),
                ("currency", fields.CharField(max_length=3)),
                ("seating", fields.CharField(max_length=8)),
                ("includes", fields.TextField(unique=False)),
                ("position", fields.IntField()),
                ("capacity", fields.IntField()),
            ],
            options={
                "table": "tiers",
                "app": "catalog",
                "unique_together": (("concert", "position"),),
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Ticket",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                (
                    "tier",
                    fields.ForeignKeyField(
                        "catalog.Tier",
                        source_field="tier_id",
                        db_constraint=True,
                        to_field="id",
                        on_delete=OnDelete.RESTRICT,
                    ),
                ),
                ("position", fields.IntField()),
                ("section", fields.TextField(default="", unique=False)),
                ("row", fields.TextField(default="", unique=False)),
                ("seat", fields.TextField(default="", unique=False)),
                ("hold_order_id", fields.UUIDField(null=True)),
                ("hold_expires_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("sold_order_id", fields.UUIDField(null=True)),
                ("sold_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("code", fields.CharField(null=True, unique=True, max_length=32)),
            ],
            options={
                "table": "tickets",
                "app": "catalog",
                "unique_together": (("tier", "position"),),
                "pk_attr": "id",
            },
            bases=["Model"],
        ),
    ]
