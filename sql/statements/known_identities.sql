-- The current identity of each symbol with stored candles: the identity that was recorded last. If no identity is
-- recorded, the values come from the stored market list. A symbol that is not in this list either is left out.
SELECT
    stored.symbol,
    coalesce(known.market_id, markets.market_id) AS market_id,
    coalesce(known.base_id, markets.base_id) AS base_id,
    coalesce(known.quote_id, markets.quote_id) AS quote_id,
    coalesce(known.scales, '{}'::jsonb) AS scales
FROM (SELECT DISTINCT symbol FROM series WHERE exchange = %(exchange)s) AS stored
LEFT JOIN markets ON markets.exchange = %(exchange)s AND markets.symbol = stored.symbol
LEFT JOIN LATERAL (
    SELECT * FROM series_identities
    WHERE series_identities.exchange = %(exchange)s AND series_identities.symbol = stored.symbol
    ORDER BY series_identities.seen_at DESC
    LIMIT 1
) AS known ON true
WHERE coalesce(known.market_id, markets.market_id) IS NOT NULL
