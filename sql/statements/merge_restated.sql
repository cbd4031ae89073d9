-- Overwrites stored candles with the values in the table restated. For an INSERT with ON CONFLICT, TimescaleDB only
-- decompresses the batches around these candles. For an UPDATE with a join, it would decompress whole chunks.
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
