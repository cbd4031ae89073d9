-- The given symbols that now belong to another market than before. For each symbol: the current market, the former
-- market, and the time since when the symbol belongs to the current market.
SELECT DISTINCT ON (exchange, symbol) exchange, symbol, market_id, former_id, valid_from
FROM (
    SELECT
        identities.exchange,
        identities.symbol,
        identities.seen_at,
        identities.market_id,
        identities.valid_from,
        lag(identities.market_id) OVER (
            PARTITION BY identities.exchange, identities.symbol ORDER BY identities.seen_at
        ) AS former_id
    FROM series_identities AS identities
    JOIN unnest(%(exchanges)s::text[], %(symbols)s::text[]) AS wanted (exchange, symbol)
        ON wanted.exchange = identities.exchange AND wanted.symbol = identities.symbol
) AS history
WHERE valid_from IS NOT NULL
ORDER BY exchange, symbol, seen_at DESC
