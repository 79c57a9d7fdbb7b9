"""What Tortoise's models cannot say: the indexes that make claims fast, and the triggers that keep a ticket
from having two owners even where the code is wrong.
"""

from tortoise import migrations
from tortoise.migrations import operations as ops

# A claim walks the free tickets of one tier in order, or those whose lease has lapsed. Each kind has an index
# that holds nothing else, so that a claim costs the same in a tier of a thousand and of a million.
INDEXES = """
CREATE INDEX tickets_free ON tickets (tier_id, position) WHERE sold_order_id IS NULL AND hold_order_id IS NULL;
CREATE INDEX tickets_leased ON tickets (tier_id, hold_expires_at) WHERE hold_order_id IS NOT NULL;
CREATE INDEX tickets_of_hold ON tickets (hold_order_id) WHERE hold_order_id IS NOT NULL;
CREATE INDEX tickets_of_sale ON tickets (sold_order_id) WHERE sold_order_id IS NOT NULL;
CREATE UNIQUE INDEX tickets_one_per_seat ON tickets (tier_id, section, "row", seat) WHERE seat <> '';
CREATE INDEX concerts_by_date ON concerts (starts_at, id);
CREATE INDEX concerts_by_price ON concerts (sort_price_minor, id);
CREATE INDEX concerts_by_title ON concerts (title_key COLLATE "C", id);
CREATE INDEX holds_active ON holds (expires_at) WHERE state = 'HELD';
"""

DROP_INDEXES = """
DROP INDEX tickets_free, tickets_leased, tickets_of_hold, tickets_of_sale, tickets_one_per_seat,
    concerts_by_date, concerts_by_price, concerts_by_title, holds_active;
"""

# Each sale leaves dead entries at the front of `tickets_free`; cleaning up early keeps claims from wading
# through them. The price is a vacuum more often, off the path of a sale.
VACUUM_SOONER = """
ALTER TABLE tickets SET (autovacuum_vacuum_scale_factor = 0.01, autovacuum_vacuum_threshold = 500);
"""

VACUUM_AS_USUAL = """
ALTER TABLE tickets RESET (autovacuum_vacuum_scale_factor, autovacuum_vacuum_threshold);
"""

# The owner of a sold ticket never changes to another: it is freed by its own order's release first. Only the
# order that holds a ticket can buy it.
GUARD_SALE = """
CREATE FUNCTION guard_sale() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.sold_order_id IS NULL THEN
        IF OLD.hold_order_id IS DISTINCT FROM NEW.sold_order_id THEN
            RAISE integrity_constraint_violation USING MESSAGE = format(
                'ticket %s is not held by order %s', OLD.id, NEW.sold_order_id);
        END IF;
    ELSIF NEW.sold_order_id IS NOT NULL THEN
        RAISE integrity_constraint_violation USING MESSAGE = format(
            'ticket %s is already sold to order %s', OLD.id, OLD.sold_order_id);
    ELSIF NOT EXISTS (SELECT FROM holds WHERE order_id = OLD.sold_order_id AND state = 'RELEASED') THEN
        RAISE integrity_constraint_violation USING MESSAGE = format(
            'ticket %s belongs to order %s, which is not released', OLD.id, OLD.sold_order_id);
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER tickets_guard_sale BEFORE UPDATE OF sold_order_id ON tickets FOR EACH ROW
    WHEN (OLD.sold_order_id IS DISTINCT FROM NEW.sold_order_id) EXECUTE FUNCTION guard_sale();
"""

# A lease that runs is nobody else's to take. The condition is all that an honest claim pays.
GUARD_LEASE = """
CREATE FUNCTION guard_lease() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE integrity_constraint_violation USING MESSAGE = format(
        'ticket %s is held by order %s until %s', OLD.id, OLD.hold_order_id, OLD.hold_expires_at);
END $$;

CREATE TRIGGER tickets_guard_lease BEFORE UPDATE OF hold_order_id ON tickets FOR EACH ROW
    WHEN (OLD.hold_order_id <> NEW.hold_order_id AND OLD.hold_expires_at > now())
    EXECUTE FUNCTION guard_lease();
"""

DROP_GUARDS = """
DROP TRIGGER tickets_guard_lease ON tickets;
DROP TRIGGER tickets_guard_sale ON tickets;
DROP FUNCTION guard_lease, guard_sale;
"""


class Migration(migrations.Migration):
    dependencies = [("catalog", "0002_known_states")]

    initial = False

    operations = [
        ops.RunSQL(INDEXES, DROP_INDEXES),
        ops.RunSQL(VACUUM_SOONER, VACUUM_AS_USUAL),
        ops.RunSQL(GUARD_SALE + GUARD_LEASE, DROP_GUARDS),
    ]
