-- Records the identity of each symbol that has stored candles but no recorded identity. The values come from the stored
-- market list. This statement runs before a new market list replaces the stored list.
INSERT INTO series_identities (exchange, symbol, seen_at, market_id, base_id, quote_id, scales)
SELECT
    markets.exchange,
    markets.symbol,
    markets.first_seen,
    markets.market_id,
    markets.base_id,
    markets.quote_id,
    jsonb_strip_nulls(jsonb_build_object(
        'contractSize', markets.extra -> 'contractSize',
        'priceScale', markets.extra -> 'priceScale',
        'valueScale', markets.extra -> 'valueScale'
    ))
FROM markets
WHERE markets.exchange = %(exchange)s
    AND EXISTS (
        SELECT FROM series WHERE series.exchange = markets.exchange AND series.symbol = markets.symbol
    )
    AND NOT EXISTS (
        SELECT FROM series_identities AS recorded
        WHERE recorded.exchange = markets.exchange AND recorded.symbol = markets.symbol
    )
