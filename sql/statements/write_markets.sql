INSERT INTO markets AS known (
    exchange, symbol, market_id, base, quote, base_id, quote_id, active, type, listed, extra, first_seen, last_seen
)
VALUES %s
ON CONFLICT (exchange, symbol) DO UPDATE SET
    market_id = excluded.market_id,
    base = excluded.base,
    quote = excluded.quote,
    base_id = excluded.base_id,
    quote_id = excluded.quote_id,
    active = excluded.active,
    type = excluded.type,
    listed = coalesce(excluded.listed, known.listed),
    extra = excluded.extra,
    last_seen = greatest(known.last_seen, excluded.last_seen)
