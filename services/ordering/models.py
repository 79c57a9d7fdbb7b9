"""The tables of the ordering database.

The statements are SQL in `store`; checks, triggers and partial indexes, which Tortoise cannot say, are SQL in
the second migration. Times are written by the database's clock only.
"""

from __future__ import annotations

from tortoise import fields
from tortoise.models import Model


class Order(Model):
    """One order of one buyer, with the concert as it was when the tickets were held."""

    id = fields.UUIDField(primary_key=True)  # UUIDv5 of buyer and idempotency key
    number = fields.CharField(max_length=12)  # short, for people
    user_id = fields.CharField(max_length=64)
    email = fields.CharField(max_length=320)
    name = fields.TextField()
    status = fields.CharField(max_length=10)
    cancel_reason = fields.CharField(max_length=10, null=True)
    concert_id = fields.CharField(max_length=64)
    concert: fields.Field[dict[str, object]] = fields.JSONField()
    total_minor = fields.BigIntField()
    currency = fields.CharField(max_length=3)
    created_at = fields.DatetimeField()
    expires_at = fields.DatetimeField()
    confirmed_at = fields.DatetimeField(null=True)
    cancelled_at = fields.DatetimeField(null=True)
    release_at = fields.DatetimeField(null=True)  # when next to ask the catalog to free the tickets; null: done

    class Meta:
        table = "orders"


class OrderLine(Model):
    """So many tickets of one tier, at the catalog's price of the time of ordering."""

    id = fields.BigIntField(primary_key=True)
    order: fields.ForeignKeyRelation[Order] = fields.ForeignKeyField("ordering.Order", related_name="lines")
    position = fields.SmallIntField()
    tier_id = fields.CharField(max_length=64)
    tier_name = fields.TextField()
    quantity = fields.SmallIntField()
    unit_price_minor = fields.BigIntField()

    class Meta:
        table = "order_lines"
        unique_together = (("order", "position"),)


class OrderTicket(Model):
    """One ticket that is held or, once it has a code, sold."""

    id = fields.BigIntField(primary_key=True)
    order: fields.ForeignKeyRelation[Order] = fields.ForeignKeyField("ordering.Order", related_name="tickets")
    position = fields.SmallIntField()
    ticket_id = fields.CharField(max_length=64)
    tier = fields.TextField()
    section = fields.TextField(null=True)
    row = fields.TextField(null=True)
    seat = fields.TextField(null=True)
    code = fields.TextField(null=True)

    class Meta:
        table = "order_tickets"
        unique_together = (("order", "position"),)


class Payment(Model):
    """One attempt to pay one order. Of the card only the brand and the last four digits are kept."""

    id = fields.UUIDField(primary_key=True)  # also what the provider knows the charge by
    order: fields.ForeignKeyRelation[Order] = fields.ForeignKeyField("ordering.Order", related_name="payments")
    key = fields.CharField(max_length=200)
    state = fields.CharField(max_length=10)
    amount_minor = fields.BigIntField()
    currency = fields.CharField(max_length=3)
    card_brand = fields.CharField(max_length=20)
    card_last4 = fields.CharField(max_length=4)
    decline_code = fields.CharField(max_length=64, null=True)
    tries = fields.IntField()
    leased_until = fields.DatetimeField()  # who works on it has until then; after that, the recovery loop may
    created_at = fields.DatetimeField()
    updated_at = fields.DatetimeField()

    class Meta:
        table = "payments"


class IdempotencyKey(Model):
    """A request that is being answered, or was; kept for a day, so that a retry gets the same answer."""

    id = fields.BigIntField(primary_key=True)
    user_id = fields.CharField(max_length=64)
    operation = fields.CharField(max_length=10)
    key = fields.CharField(max_length=200)
    fingerprint = fields.CharField(max_length=64)
    status = fields.SmallIntField(null=True)
    response: fields.Field[dict[str, object] | None] = fields.JSONField(null=True)
    leased_until = fields.DatetimeField()
    created_at = fields.DatetimeField(db_index=True)

    class Meta:
        table = "idempotency_keys"
        unique_together = (("user_id", "operation", "key"),)


class OutboxRow(Model):
    """An event that was decided and has to reach the broker; `published_at` is null until it has."""

    id = fields.BigIntField(primary_key=True)
    event_id = fields.UUIDField(unique=True)
    order: fields.ForeignKeyRelation[Order] = fields.ForeignKeyField("ordering.Order", related_name="events")
    type = fields.CharField(max_length=64)
    payload = fields.BinaryField()
    traceparent = fields.CharField(max_length=64)
    created_at = fields.DatetimeField()
    claimed_until = fields.DatetimeField(null=True)
    published_at = fields.DatetimeField(null=True)

    class Meta:
        table = "outbox"


class OrderEvent(Model):
    """One step of an order's life, for its owner and for whoever has to find out what happened."""

    id = fields.BigIntField(primary_key=True)
    order: fields.ForeignKeyRelation[Order] = fields.ForeignKeyField("ordering.Order", related_name="timeline")
    status = fields.CharField(max_length=10)
    event = fields.CharField(max_length=30)
    trace_id = fields.CharField(max_length=32)
    at = fields.DatetimeField()

    class Meta:
        table = "order_events"


class WebhookEvent(Model):
    """A notification of the payment provider that was handled; it may come again."""

    id = fields.CharField(max_length=64, primary_key=True)
    received_at = fields.DatetimeField(db_index=True)

    class Meta:
        table = "webhook_events"
