"""The catalog's tables.

Every state of a ticket is in its own row, and in nothing else: there is no counter that a sale would have
to decrement, so that buyers of one concert never queue behind each other.

    free     sold_order_id is NULL, and hold_order_id is NULL or its lease has lapsed
    held     sold_order_id is NULL, hold_order_id set, hold_expires_at in the future
    sold     sold_order_id and code set, hold columns NULL

The partial indexes and the triggers that guard these states are SQL, in the migrations.
"""

from __future__ import annotations

from tortoise import fields
from tortoise.migrations.constraints import CheckConstraint
from tortoise.models import Model


class Venue(Model):
    id = fields.UUIDField(primary_key=True)
    name = fields.TextField()
    city = fields.TextField()
    city_key = fields.TextField()  # the city as `search.fold` has it, for comparing
    country = fields.CharField(max_length=2)  # ISO 3166-1 alpha-2
    address = fields.TextField()
    time_zone = fields.TextField()  # IANA name

    class Meta:
        table = "venues"


class Concert(Model):
    id = fields.UUIDField(primary_key=True)
    venue: fields.ForeignKeyRelation[Venue] = fields.ForeignKeyField("catalog.Venue", on_delete=fields.RESTRICT)
    slug = fields.CharField(max_length=100, unique=True)
    title = fields.TextField()
    title_key = fields.TextField()  # the title as `search.fold` has it, for sorting
    artist = fields.TextField()
    genre = fields.TextField()
    genre_key = fields.TextField()
    description = fields.TextField()
    search_text = fields.TextField()  # title, artist, genre, venue and city, folded: what a text search looks at
    starts_at = fields.DatetimeField()
    doors_at = fields.DatetimeField(null=True)
    on_sale_at = fields.DatetimeField()
    # The lowest price in euro cents at the rate of the day it was set. Sorts prices of different
    # currencies, and is never shown nor charged.
    sort_price_minor = fields.BigIntField()

    class Meta:
        table = "concerts"


class Tier(Model):
    id = fields.UUIDField(primary_key=True)
    concert: fields.ForeignKeyRelation[Concert] = fields.ForeignKeyField("catalog.Concert", on_delete=fields.RESTRICT)
    name = fields.TextField()
    price_minor = fields.BigIntField()
    currency = fields.CharField(max_length=3)  # ISO 4217
    seating = fields.CharField(max_length=8)  # GENERAL or SEATED
    includes = fields.TextField()
    position = fields.IntField()  # order on the page
    capacity = fields.IntField()  # how many tickets it was made with; fixed, not a counter

    class Meta:
        table = "tiers"
        unique_together = (("concert", "position"),)
        constraints = (
            CheckConstraint(check="price_minor >= 0", name="tiers_price_not_negative"),
            CheckConstraint(check="seating IN ('GENERAL', 'SEATED')", name="tiers_seating_known"),
        )


class Hold(Model):
    """What one order has asked for and how far that went; its tickets name it in turn."""

    order_id = fields.UUIDField(primary_key=True)
    # No foreign key: each hold of a hot concert would lock that concert's one row, if only in share mode.
    concert_id = fields.UUIDField()
    fingerprint = fields.TextField()  # the request; another one under the same order is refused
    quantity = fields.IntField()
    state = fields.CharField(max_length=9)  # HELD, CONFIRMED or RELEASED
    channel = fields.CharField(max_length=10, default="SHOP")  # BOX_OFFICE: sold outside, no order in the shop
    expires_at = fields.DatetimeField()
    created_at = fields.DatetimeField(auto_now_add=True)

    class Meta:
        table = "holds"
        constraints = (
            CheckConstraint(check="state IN ('HELD', 'CONFIRMED', 'RELEASED')", name="holds_state_known"),
            CheckConstraint(check="channel IN ('SHOP', 'BOX_OFFICE')", name="holds_channel_known"),
            CheckConstraint(check="quantity >= 1", name="holds_quantity_positive"),
        )


class Ticket(Model):
    id = fields.UUIDField(primary_key=True)
    tier: fields.ForeignKeyRelation[Tier] = fields.ForeignKeyField("catalog.Tier", on_delete=fields.RESTRICT)
    position = fields.IntField()  # within the tier; seats whose positions differ by one are neighbours
    section = fields.TextField(default="")
    row = fields.TextField(default="")
    seat = fields.TextField(default="")  # empty where admission is general
    hold_order_id = fields.UUIDField(null=True)
    hold_expires_at = fields.DatetimeField(null=True)
    sold_order_id = fields.UUIDField(null=True)
    sold_at = fields.DatetimeField(null=True)
    code = fields.CharField(max_length=32, null=True, unique=True)

    class Meta:
        table = "tickets"
        unique_together = (("tier", "position"),)
        constraints = (
            CheckConstraint(
                check="num_nonnulls(hold_order_id, hold_expires_at) IN (0, 2)", name="tickets_hold_has_expiry"
            ),
            CheckConstraint(check="num_nonnulls(sold_order_id, sold_at, code) IN (0, 3)", name="tickets_sold_has_code"),
            CheckConstraint(check="num_nonnulls(sold_order_id, hold_order_id) <= 1", name="tickets_held_or_sold"),
        )
