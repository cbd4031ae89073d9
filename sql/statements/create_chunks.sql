-- Inserts a row at each instant. If an instant has no chunk, the insert creates the chunk. Returns the quoted name of
-- the chunk of each row.
INSERT INTO candles (
    exchange, symbol, timeframe, "time", open, high, low, close, volume, price_scale, volume_scale
)
SELECT 'titan10', 'chunk', '1d', instants.instant, 1, 1, 1, 1, 0, 1, 1
FROM unnest(%(instants)s::timestamptz[]) AS instants (instant)
RETURNING tableoid::regclass::text AS chunk
