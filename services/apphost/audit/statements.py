"""What the ledger asks the databases. Ids come as text; the columns are named as the fields of `records` are."""

from typing import Final

STOCKS: Final = """
SELECT c.id::text AS concert_id, c.slug,
       (SELECT coalesce(sum(t.capacity), 0) FROM tiers t WHERE t.concert_id = c.id)::int AS capacity,
       count(k.id) FILTER (WHERE k.sold_order_id IS NULL
                             AND (k.hold_order_id IS NULL OR k.hold_expires_at <= now()))::int AS free,
       count(k.id) FILTER (WHERE k.sold_order_id IS NULL AND k.hold_expires_at > now())::int AS held,
       count(k.id) FILTER (WHERE k.sold_order_id IS NOT NULL)::int AS sold
FROM concerts c LEFT JOIN tiers t ON t.concert_id = c.id LEFT JOIN tickets k ON k.tier_id = t.id
GROUP BY c.id
"""

HOLDS: Final = """
SELECT h.order_id::text, h.channel, h.state, h.quantity, h.expires_at > now() AS running,
       (SELECT count(*) FROM tickets k
        WHERE k.hold_order_id = h.order_id AND k.hold_expires_at > now())::int AS held,
       (SELECT count(*) FROM tickets k WHERE k.sold_order_id = h.order_id)::int AS sold
FROM holds h
"""

# Those of the box office are left out: tens of thousands, with no order to compare them to. `HOLDS` counts them.
SEATS: Final = """
SELECT k.id::text, h.order_id::text, k.code FROM tickets k JOIN LATERAL
       (SELECT coalesce(k.sold_order_id, k.hold_order_id) AS order_id) h ON true
WHERE (k.sold_order_id IS NOT NULL OR k.hold_expires_at > now())
  AND NOT EXISTS (SELECT FROM holds b WHERE b.order_id = h.order_id AND b.channel = 'BOX_OFFICE')
"""

ORDERS: Final = """
SELECT o.id::text, o.number, o.user_id, o.status, o.total_minor, o.currency, o.created_at, o.confirmed_at,
       o.cancelled_at, o.release_at IS NOT NULL AS release_due,
       extract(epoch FROM now() - o.expires_at)::float8 AS overdue_s,
       (SELECT coalesce(sum(l.quantity), 0) FROM order_lines l WHERE l.order_id = o.id)::int AS quantity,
       (SELECT coalesce(sum(l.quantity * l.unit_price_minor), 0) FROM order_lines l
        WHERE l.order_id = o.id)::bigint AS lines_minor,
       (SELECT json_object_agg(t.ticket_id, t.code) FROM order_tickets t WHERE t.order_id = o.id)::text AS tickets
FROM orders o
"""

PAYMENTS: Final = "SELECT id::text, order_id::text, state, amount_minor, currency FROM payments"

EVENTS: Final = (
    "SELECT id AS sequence, event_id::text AS id, order_id::text, type, published_at FROM outbox ORDER BY id"
)

KEYS: Final = """
SELECT format('%s %s of user %s', operation, key, user_id) AS name, status,
       CASE WHEN status < 300 THEN response ->> 'id' END AS order_id,
       CASE WHEN status < 300 THEN response ->> 'status' END AS order_status,
       extract(epoch FROM leased_until - now())::float8 AS leased_s
FROM idempotency_keys
"""

USERS: Final = "SELECT id::text FROM users"

# A login counts until it is revoked or its last token has run out.
BROKEN_FAMILIES: Final = """
SELECT f.id::text FROM token_families f
WHERE f.revoked_at IS NULL AND f.expires_at > now()
  AND EXISTS (SELECT FROM refresh_tokens t WHERE t.family_id = f.id AND t.expires_at > now())
  AND NOT EXISTS (SELECT FROM refresh_tokens t WHERE t.family_id = f.id AND t.spent_at IS NULL)
"""

CHARGES: Final = "SELECT payment_id, status, amount_minor, currency, due_at FROM charges"
