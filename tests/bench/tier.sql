-- One tier of :size tickets, every other one sold. Its concert is made with the first.
INSERT INTO venues (id, name, city, city_key, country, address, time_zone)
  VALUES (:'concert', 'Hall', 'Town', 'town', 'DE', 'Street 1', 'Europe/Berlin') ON CONFLICT DO NOTHING;
INSERT INTO concerts (id, venue_id, slug, title, title_key, artist, genre, genre_key, description, search_text, starts_at, on_sale_at, sort_price_minor)
  VALUES (:'concert', :'concert', :'concert', 'C', 'c', 'A', 'Rock', 'rock', '', '', now() + interval '30 days', now(), 4900) ON CONFLICT DO NOTHING;
INSERT INTO tiers (id, concert_id, name, price_minor, currency, seating, includes, position, capacity)
  VALUES (:'tier', :'concert', 'Floor', 4900, 'EUR', 'GENERAL', '', :position, :size);
INSERT INTO tickets (id, tier_id, position, section, "row", seat, sold_order_id, sold_at, code)
  SELECT gen_random_uuid(), :'tier', p, '', '', '', CASE WHEN p % 2 = 0 THEN :'concert'::uuid END,
         CASE WHEN p % 2 = 0 THEN now() END, CASE WHEN p % 2 = 0 THEN substr(md5(:'tier' || p), 1, 24) END
  FROM generate_series(1, :size) p;
VACUUM ANALYZE tickets;
