"""What Tortoise's operations cannot say: checks, triggers and partial indexes.

The rules of `domain.py` stand here a second time on purpose: wrong code must not be able to break them.
"""

from tortoise import migrations
from tortoise.migrations import operations as ops

ORDERS = (
    "CREATE UNIQUE INDEX orders_number_key ON orders (number)",
    "CREATE INDEX orders_of_buyer ON orders (user_id, created_at DESC, id DESC)",
    "CREATE INDEX orders_to_expire ON orders (expires_at) WHERE status = 'PENDING'",
    "CREATE INDEX orders_to_release ON orders (release_at) WHERE release_at IS NOT NULL",
    "ALTER TABLE orders ADD CONSTRAINT orders_status CHECK (status IN ('PENDING', 'CONFIRMED', 'CANCELLED'))",
    "ALTER TABLE orders ADD CONSTRAINT orders_reason CHECK ((cancel_reason IS NOT NULL) = (status = 'CANCELLED')"
    " AND (cancel_reason IS NULL OR cancel_reason IN ('BUYER', 'EXPIRED', 'SOLD_OUT', 'PAYMENT')))",
    "ALTER TABLE orders ADD CONSTRAINT orders_times CHECK ((cancelled_at IS NOT NULL) = (status = 'CANCELLED')"
    " AND (confirmed_at IS NOT NULL OR status <> 'CONFIRMED') AND (confirmed_at IS NULL OR status <> 'PENDING'))",
    "ALTER TABLE orders ADD CONSTRAINT orders_total CHECK (total_minor >= 0 AND currency ~ '^[A-Z]{3}$')",
    """
    CREATE FUNCTION orders_guard_status() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        IF TG_OP = 'INSERT' AND NEW.status = 'PENDING' THEN RETURN NEW; END IF;
        IF TG_OP = 'UPDATE' AND (OLD.status, NEW.status) IN
            (('PENDING', 'CONFIRMED'), ('PENDING', 'CANCELLED'), ('CONFIRMED', 'CANCELLED')) THEN
            RETURN NEW;
        END IF;
        RAISE EXCEPTION 'an order cannot become %', NEW.status USING ERRCODE = 'check_violation';
    END $$
    """,
    "CREATE TRIGGER orders_born_pending BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION orders_guard_status()",
    "CREATE TRIGGER orders_change_legally BEFORE UPDATE OF status ON orders FOR EACH ROW"
    " WHEN (OLD.status IS DISTINCT FROM NEW.status) EXECUTE FUNCTION orders_guard_status()",
)
PARTS = (
    "ALTER TABLE order_lines ADD CONSTRAINT order_lines_amounts"
    " CHECK (quantity BETWEEN 1 AND 10 AND unit_price_minor >= 0)",
    # One admission is sold once; a ticket of a cancelled order has lost its code.
    "CREATE UNIQUE INDEX order_tickets_sold_once ON order_tickets (ticket_id) WHERE code IS NOT NULL",
    "CREATE INDEX order_events_of_order ON order_events (order_id, id)",
)
PAYMENTS = (
    # Two payments at once with different keys: the second cannot even begin.
    "CREATE UNIQUE INDEX payments_one_live ON payments (order_id)"
    " WHERE state IN ('started', 'unclear', 'succeeded', 'refund_due')",
    "CREATE INDEX payments_of_order ON payments (order_id)",
    "CREATE INDEX payments_to_finish ON payments (leased_until) WHERE state IN ('started', 'unclear', 'refund_due')",
    "ALTER TABLE payments ADD CONSTRAINT payments_state CHECK (state IN"
    " ('started', 'unclear', 'succeeded', 'declined', 'void', 'refund_due', 'refunded'))",
    "ALTER TABLE payments ADD CONSTRAINT payments_card CHECK (card_last4 ~ '^[0-9]{4}$' AND amount_minor >= 0)",
    "ALTER TABLE idempotency_keys ADD CONSTRAINT idempotency_keys_answer CHECK ((status IS NULL) = (response IS NULL))",
)
OUTBOX = (
    "CREATE INDEX outbox_unpublished ON outbox (id) WHERE published_at IS NULL",
    "CREATE INDEX outbox_heads ON outbox (order_id, id) WHERE published_at IS NULL",
    "CREATE INDEX outbox_published ON outbox (published_at) WHERE published_at IS NOT NULL",
    """
    CREATE FUNCTION outbox_announce() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
        PERFORM pg_notify('outbox', '');
        RETURN NULL;
    END $$
    """,
    "CREATE TRIGGER outbox_staged AFTER INSERT ON outbox FOR EACH STATEMENT EXECUTE FUNCTION outbox_announce()",
)
BACKWARD = (
    "DROP TRIGGER outbox_staged ON outbox",
    "DROP FUNCTION outbox_announce()",
    "DROP INDEX outbox_unpublished, outbox_heads, outbox_published",
    "ALTER TABLE idempotency_keys DROP CONSTRAINT idempotency_keys_answer",
    "ALTER TABLE payments DROP CONSTRAINT payments_state, DROP CONSTRAINT payments_card",
    "DROP INDEX payments_one_live, payments_of_order, payments_to_finish",
    "DROP INDEX order_tickets_sold_once, order_events_of_order",
    "ALTER TABLE order_lines DROP CONSTRAINT order_lines_amounts",
    "DROP TRIGGER orders_born_pending ON orders",
    "DROP TRIGGER orders_change_legally ON orders",
    "DROP FUNCTION orders_guard_status()",
    "ALTER TABLE orders DROP CONSTRAINT orders_status, DROP CONSTRAINT orders_reason,"
    " DROP CONSTRAINT orders_times, DROP CONSTRAINT orders_total",
    "DROP INDEX orders_number_key, orders_of_buyer, orders_to_expire, orders_to_release",
)


class Migration(migrations.Migration):
    dependencies = [("ordering", "0001_initial")]
    operations = [ops.RunSQL([*ORDERS, *PARTS, *PAYMENTS, *OUTBOX], list(BACKWARD))]
