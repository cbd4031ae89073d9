-- Records the new market of a symbol. Returns the start of the first day of the new market.
-- Each series of the symbol gets a break at the end of its last candle, because later candles come from the new market.
-- If this end is not a midnight, the series gets a second break at the midnight before. The reason is that the whole
-- day is fetched again after its end, and then comes from the new market.
-- The parameters are in the SELECT lists of the INSERTs. Therefore they take the types of the columns and need no cast.
WITH ends AS (
    SELECT exchange, symbol, timeframe, last_candle + timeframe_interval(timeframe) AS at
    FROM series
    WHERE exchange = %(exchange)s AND symbol = %(symbol)s
),
broken AS (
    INSERT INTO series_breaks (exchange, symbol, timeframe, at, kind, found_at)
    SELECT exchange, symbol, timeframe, instants.at, %(kind)s, %(seen_at)s
    FROM ends
    CROSS JOIN LATERAL (
        SELECT ends.at UNION SELECT date_trunc('day', ends.at, 'UTC')
    ) AS instants (at)
    ON CONFLICT (exchange, symbol, timeframe, at) DO UPDATE SET
        kind = excluded.kind, price_factor = NULL, volume_factor = NULL, found_at = excluded.found_at
)
INSERT INTO series_identities (exchange, symbol, seen_at, valid_from, market_id, base_id, quote_id, scales)
SELECT
    %(exchange)s,
    %(symbol)s,
    %(seen_at)s,
    (SELECT date_trunc('day', max(ends.at), 'UTC') FROM ends),
    %(market_id)s,
    %(base_id)s,
    %(quote_id)s,
    %(scales)s
ON CONFLICT (exchange, symbol, seen_at) DO NOTHING
RETURNING valid_from
