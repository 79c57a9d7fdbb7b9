-- The statements of placing one order, as the catalog and ordering send them: the yardstick that no network, no
-- Python and no second database can beat. pay.sql goes on from here.
\set tier random(1, :tiers)
SELECT md5('tier' || :tier)::uuid AS tier, md5('concert')::uuid AS concert, gen_random_uuid() AS order, gen_random_uuid() AS payment, substr(md5(random()::text), 1, 12) AS number \gset
-- place: the idempotency key
INSERT INTO idempotency_keys (user_id, operation, key, fingerprint, leased_until, created_at)
  VALUES (:order, 'place', 'k', 'f', clock_timestamp() + interval '30 s', clock_timestamp());
-- place: the hold
BEGIN;
INSERT INTO holds (order_id, concert_id, fingerprint, quantity, expires_at, state, channel, created_at)
  VALUES (:order, :concert, 'f', 2, now() + interval '10 min', 'HELD', 'SHOP', now());
WITH free AS (SELECT id FROM tickets WHERE tier_id = :tier AND sold_order_id IS NULL AND hold_order_id IS NULL
  ORDER BY position LIMIT 2 FOR UPDATE SKIP LOCKED)
UPDATE tickets SET hold_order_id = :order, hold_expires_at = now() + interval '10 min' FROM free WHERE tickets.id = free.id;
COMMIT;
-- place: the order
BEGIN;
INSERT INTO orders (id, number, user_id, email, name, status, concert_id, concert, total_minor, currency, created_at, expires_at)
  VALUES (:order, :number, :order, 'e@x.test', 'n', 'PENDING', :concert, '{}', 9800, 'EUR', now(), now() + interval '10 min');
INSERT INTO order_lines (order_id, position, tier_id, tier_name, quantity, unit_price_minor) VALUES (:order, 0, :tier, 'Floor', 2, 4900);
INSERT INTO order_tickets (order_id, position, ticket_id, tier) SELECT :order, row_number() OVER (), id, 'Floor' FROM tickets WHERE hold_order_id = :order;
INSERT INTO order_events (order_id, status, event, trace_id, at) VALUES (:order, 'PENDING', 'placed', '', now());
INSERT INTO outbox (event_id, order_id, type, payload, traceparent, created_at) VALUES (gen_random_uuid(), :order, 'order.created.v1', '{}', '', now());
UPDATE idempotency_keys SET status = 201, response = '{}' WHERE user_id = :order AND operation = 'place' AND key = 'k';
COMMIT;
