-- Tickets for the yardstick: one concert, so many tiers, 4000 tickets each.
INSERT INTO venues (id, name, city, city_key, country, address, time_zone)
  VALUES (md5('venue')::uuid, 'Hall', 'Town', 'town', 'DE', 'Street 1', 'Europe/Berlin');
INSERT INTO concerts (id, venue_id, slug, title, title_key, artist, genre, genre_key, description, search_text, starts_at, on_sale_at, sort_price_minor)
  VALUES (md5('concert')::uuid, md5('venue')::uuid, 'c', 'C', 'c', 'A', 'Rock', 'rock', '', '', now() + interval '30 days', now(), 4900);
INSERT INTO tiers (id, concert_id, name, price_minor, currency, seating, includes, position, capacity)
  SELECT md5('tier' || t)::uuid, md5('concert')::uuid, 'Floor', 4900, 'EUR', 'GENERAL', '', t, 4000 FROM generate_series(1, :tiers) t;
INSERT INTO tickets (id, tier_id, position, section, "row", seat)
  SELECT gen_random_uuid(), md5('tier' || t)::uuid, p, '', '', '' FROM generate_series(1, :tiers) t, generate_series(1, 4000) p;
VACUUM ANALYZE;
