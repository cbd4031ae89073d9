INSERT INTO series_breaks AS known (
    exchange, symbol, timeframe, at, kind, price_factor, volume_factor, found_at
)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (exchange, symbol, timeframe, at) DO UPDATE SET
    price_factor = excluded.price_factor,
    volume_factor = excluded.volume_factor
WHERE (known.price_factor, known.volume_factor) IS DISTINCT FROM (excluded.price_factor, excluded.volume_factor)
