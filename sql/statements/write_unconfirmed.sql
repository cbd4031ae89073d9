-- Stores the changes of markets that a second market list must confirm. A change that was stored earlier is cleared if
-- its symbol is not in the parameters.
UPDATE markets SET unconfirmed = held.change, unconfirmed_since = held.since
FROM (
    SELECT known.symbol, waiting.change, waiting.since
    FROM markets AS known
    LEFT JOIN unnest(%(symbols)s::text[], %(changes)s::text[], %(since)s::timestamptz[])
        AS waiting (symbol, change, since) USING (symbol)
    WHERE known.exchange = %(exchange)s AND (known.unconfirmed IS NOT NULL OR waiting.change IS NOT NULL)
) AS held
WHERE markets.exchange = %(exchange)s AND markets.symbol = held.symbol
