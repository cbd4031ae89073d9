-- Of some symbols, each with its exchange, those in the exchange's market list, in the given order. All symbols of an
-- exchange without a stored list count as listed.
SELECT configured.exchange, configured.symbol
FROM unnest(%(exchanges)s::text[], %(symbols)s::text[]) WITH ORDINALITY AS configured (exchange, symbol, number)
WHERE EXISTS (
        SELECT FROM markets
        WHERE markets.exchange = configured.exchange AND markets.symbol = configured.symbol
    )
    OR NOT EXISTS (SELECT FROM markets WHERE markets.exchange = configured.exchange)
ORDER BY configured.number
