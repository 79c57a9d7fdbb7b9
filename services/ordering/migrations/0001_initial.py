import functools
from json import dumps, loads
from uuid import uuid4

from tortoise import fields, migrations
from tortoise.fields.base import OnDelete
from tortoise.migrations import operations as ops


class Migration(migrations.Migration):
    initial = True

    operations = [
        ops.CreateModel(
            name="IdempotencyKey",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("user_id", fields.CharField(max_length=64)),
                ("operation", fields.CharField(max_length=10)),
                ("key", fields.CharField(max_length=200)),
                ("fingerprint", fields.CharField(max_length=64)),
                ("status", fields.SmallIntField(null=True)),
                (
                    "response",
                    fields.JSONField(null=True, encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads),
                ),
                ("leased_until", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("created_at", fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "idempotency_keys",
                "app": "ordering",
                "unique_together": (("user_id", "operation", "key"),),
                "pk_attr": "id",
                "table_description": "A request that is being answered, or was; kept for a day, so that a retry gets the same answer.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Order",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                ("number", fields.CharField(max_length=12)),
                ("user_id", fields.CharField(max_length=64)),
                ("email", fields.CharField(max_length=320)),
                ("name", fields.TextField(unique=False)),
                ("status", fields.CharField(max_length=10)),
                ("cancel_reason", fields.CharField(null=True, max_length=10)),
                ("concert_id", fields.CharField(max_length=64)),
                ("concert", fields.JSONField(encoder=functools.partial(dumps, separators=(",", ":")), decoder=loads)),
                ("total_minor", fields.BigIntField()),
                ("currency", fields.CharField(max_length=3)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("expires_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("confirmed_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("cancelled_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("release_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "orders",
                "app": "ordering",
                "pk_attr": "id",
                "table_description": "One order of one buyer, with the concert as it was when the tickets were held.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OrderEvent",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "order",
                    fields.ForeignKeyField(
                        "ordering.Order",
                        source_field="order_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="timeline",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("status", fields.CharField(max_length=10)),
                ("event", fields.CharField(max_length=30)),
                ("trace_id", fields.CharField(max_length=32)),
                ("at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "order_events",
                "app": "ordering",
                "pk_attr": "id",
                "table_description": "One step of an order's life, for its owner and for whoever has to find out what happened.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OrderLine",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "order",
                    fields.ForeignKeyField(
                        "ordering.Order",
                        source_field="order_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="lines",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("position", fields.SmallIntField()),
                ("tier_id", fields.CharField(max_length=64)),
                ("tier_name", fields.TextField(unique=False)),
                ("quantity", fields.SmallIntField()),
                ("unit_price_minor", fields.BigIntField()),
            ],
            options={
                "table": "order_lines",
                "app": "ordering",
                "unique_together": (("order", "position"),),
                "pk_attr": "id",
                "table_description": "So many tickets of one tier, at the catalog's price of the time of ordering.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OrderTicket",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                (
                    "order",
                    fields.ForeignKeyField(
                        "ordering.Order",
                        source_field="order_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="tickets",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("position", fields.SmallIntField()),
                ("ticket_id", fields.CharField(max_length=64)),
                ("tier", fields.TextField(unique=False)),
                ("section", fields.TextField(null=True, unique=False)),
                ("row", fields.TextField(null=True, unique=False)),
                ("seat", fields.TextField(null=True, unique=False)),
                ("code", fields.TextField(null=True, unique=False)),
            ],
            options={
                "table": "order_tickets",
                "app": "ordering",
                "unique_together": (("order", "position"),),
                "pk_attr": "id",
                "table_description": "One ticket that is held or, once it has a code, sold.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="OutboxRow",
            fields=[
                ("id", fields.BigIntField(generated=True, primary_key=True, unique=True, db_index=True)),
                ("event_id", fields.UUIDField(unique=True)),
                (
                    "order",
                    fields.ForeignKeyField(
                        "ordering.Order",
                        source_field="order_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="events",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("type", fields.CharField(max_length=64)),
                ("payload", fields.BinaryField()),
                ("traceparent", fields.CharField(max_length=64)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("claimed_until", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
                ("published_at", fields.DatetimeField(null=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "outbox",
                "app": "ordering",
                "pk_attr": "id",
                "table_description": "An event that was decided and has to reach the broker; `published_at` is null until it has.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="Payment",
            fields=[
                ("id", fields.UUIDField(primary_key=True, default=uuid4, unique=True, db_index=True)),
                (
                    "order",
                    fields.ForeignKeyField(
                        "ordering.Order",
                        source_field="order_id",
                        db_constraint=True,
                        to_field="id",
                        related_name="payments",
                        on_delete=OnDelete.CASCADE,
                    ),
                ),
                ("key", fields.CharField(max_length=200)),
                ("state", fields.CharField(max_length=10)),
                ("amount_minor", fields.BigIntField()),
                ("currency", fields.CharField(max_length=3)),
                ("card_brand", fields.CharField(max_length=20)),
                ("card_last4", fields.CharField(max_length=4)),
                ("decline_code", fields.CharField(null=True, max_length=64)),
                ("tries", fields.IntField()),
                ("leased_until", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("created_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
                ("updated_at", fields.DatetimeField(auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "payments",
                "app": "ordering",
                "pk_attr": "id",
                "table_description": "One attempt to pay one order. Of the card only the brand and the last four digits are kept.",
            },
            bases=["Model"],
        ),
        ops.CreateModel(
            name="WebhookEvent",
            fields=[
                ("id", fields.CharField(primary_key=True, unique=True, db_index=True, max_length=64)),
                ("received_at", fields.DatetimeField(db_index=True, auto_now=False, auto_now_add=False)),
            ],
            options={
                "table": "webhook_events",
                "app": "ordering",
                "pk_attr": "id",
                "table_description": "A notification of the payment provider that was handled; it may come again.",
            },
            bases=["Model"],
        ),
    ]
