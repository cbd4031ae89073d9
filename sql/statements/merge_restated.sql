-- Overwrites stored candles with the values in the table restated. This is an upsert and not an UPDATE: for an upsert,
-- TimescaleDB decompresses only the batches around these candles. For an UPDATE with a join, TimescaleDB would
-- decompress whole chunks.
INSERT INTO candles (
    exchange, symbol, timeframe, "time", open, high, low, close, volume, price_scale, volume_scale
)
SELECT exchange, symbol, timeframe, "time", open, high, low, close, volume, price_scale, volume_scale
FROM restated
ORDER BY exchange, symbol, timeframe, "time"
ON CONFLICT (exchange, symbol, timeframe, "time") DO UPDATE SET
    open = excluded.open,
    high = excluded.high,
    low = excluded.low,
    close = excluded.close,
    volume = excluded.volume,
    price_scale = excluded.price_scale,
    volume_scale = excluded.volume_scale
