SELECT
    series.exchange,
    series.symbol,
    series.timeframe,
    series.market_id,
    series.first_candle,
    series.last_candle,
    ARRAY(
        SELECT identities.market_id FROM series_identities AS identities
        WHERE identities.exchange = series.exchange
            AND identities.symbol = series.symbol
            AND identities.market_id IS DISTINCT FROM series.market_id
        ORDER BY identities.seen_at
    ) AS former_markets,
    ARRAY(
        SELECT breaks.at FROM series_breaks AS breaks
        WHERE breaks.exchange = series.exchange
            AND breaks.symbol = series.symbol
            AND breaks.timeframe = series.timeframe
        ORDER BY breaks.at
    ) AS breaks
FROM series
WHERE %(exchange)s::text IS NULL OR series.exchange = %(exchange)s
ORDER BY series.exchange, series.symbol, series.timeframe
