-- The symbols with a changed market: the current market, the former one, and the start of the current one.
SELECT DISTINCT ON (symbol) symbol, market_id, former_id, valid_from
FROM (
    SELECT
        symbol,
        seen_at,
        market_id,
        valid_from,
        lag(market_id) OVER (PARTITION BY symbol ORDER BY seen_at) AS former_id
    FROM series_identities
    WHERE exchange = %(exchange)s AND symbol = ANY(%(symbols)s)
) AS history
WHERE valid_from IS NOT NULL
ORDER BY symbol, seen_at DESC
