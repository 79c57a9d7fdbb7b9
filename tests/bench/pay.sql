-- The statements of paying the order that place.sql has placed; run behind it.
-- pay: the attempt
INSERT INTO idempotency_keys (user_id, operation, key, fingerprint, leased_until, created_at)
  VALUES (:order, 'pay', 'p', 'f', clock_timestamp() + interval '30 s', clock_timestamp());
BEGIN;
SELECT 1 FROM orders WHERE id = :order FOR UPDATE;
INSERT INTO payments (id, order_id, key, state, amount_minor, currency, card_brand, card_last4, tries, leased_until, created_at, updated_at)
  VALUES (:payment, :order, 'p', 'started', 9800, 'EUR', 'visa', '4242', 0, now() + interval '30 s', now(), now());
INSERT INTO order_events (order_id, status, event, trace_id, at) VALUES (:order, 'PENDING', 'payment_started', '', now());
COMMIT;
-- pay: the hold becomes a sale
BEGIN;
SELECT 1 FROM holds WHERE order_id = :order FOR UPDATE;
UPDATE tickets SET sold_order_id = :order, sold_at = now(), code = substr(md5(id::text), 1, 22), hold_order_id = NULL, hold_expires_at = NULL
  WHERE hold_order_id = :order;
UPDATE holds SET state = 'CONFIRMED' WHERE order_id = :order;
COMMIT;
-- pay: the order is confirmed
BEGIN;
SELECT 1 FROM orders WHERE id = :order FOR UPDATE;
SELECT 1 FROM payments WHERE id = :payment FOR UPDATE;
UPDATE orders SET status = 'CONFIRMED', confirmed_at = now() WHERE id = :order;
UPDATE order_tickets SET code = ticket_id WHERE order_id = :order;
UPDATE payments SET state = 'succeeded', updated_at = now() WHERE id = :payment;
INSERT INTO order_events (order_id, status, event, trace_id, at) VALUES (:order, 'CONFIRMED', 'confirmed', '', now());
INSERT INTO outbox (event_id, order_id, type, payload, traceparent, created_at) VALUES (gen_random_uuid(), :order, 'order.confirmed.v1', '{}', '', now());
UPDATE idempotency_keys SET status = 200, response = '{}' WHERE user_id = :order AND operation = 'pay' AND key = 'p';
COMMIT;
