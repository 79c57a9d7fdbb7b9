from tortoise import migrations
from tortoise.migrations import operations as ops
from tortoise.migrations.constraints import CheckConstraint


class Migration(migrations.Migration):
    dependencies = [("catalog", "0001_initial")]

    initial = False

    operations = [
        ops.AddConstraint(
            model_name="Hold",
            constraint=CheckConstraint(check="state IN ('HELD', 'CONFIRMED', 'RELEASED')", name="holds_state_known"),
        ),
        ops.AddConstraint(
            model_name="Hold",
            constraint=CheckConstraint(check="channel IN ('SHOP', 'BOX_OFFICE')", name="holds_channel_known"),
        ),
        ops.AddConstraint(
            model_name="Hold",
            constraint=CheckConstraint(check="quantity >= 1", name="holds_quantity_positive"),
        ),
        ops.AddConstraint(
            model_name="Ticket",
            constraint=CheckConstraint(
                check="num_nonnulls(hold_order_id, hold_expires_at) IN (0, 2)", name="tickets_hold_has_expiry"
            ),
        ),
        ops.AddConstraint(
            model_name="Ticket",
            constraint=CheckConstraint(
                check="num_nonnulls(sold_order_id, sold_at, code) IN (0, 3)", name="tickets_sold_has_code"
            ),
        ),
        ops.AddConstraint(
            model_name="Ticket",
            constraint=CheckConstraint(
                check="num_nonnulls(sold_order_id, hold_order_id) <= 1", name="tickets_held_or_sold"
            ),
        ),
        ops.AddConstraint(
            model_name="Tier",
            constraint=CheckConstraint(check="price_minor >= 0", name="tiers_price_not_negative"),
        ),
        ops.AddConstraint(
            model_name="Tier",
            constraint=CheckConstraint(check="seating IN ('GENERAL', 'SEATED')", name="tiers_seating_known"),
        ),
    ]
