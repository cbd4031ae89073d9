-- The given symbols that are in the stored market list of their exchange, in the given order. If an exchange has no
-- stored market list, all given symbols of this exchange are returned.
SELECT configured.exchange, configured.symbol
FROM unnest(%(exchanges)s::text[], %(symbols)s::text[]) WITH ORDINALITY AS configured (exchange, symbol, number)
WHERE EXISTS (
        SELECT FROM markets
        WHERE markets.exchange = configured.exchange AND markets.symbol = configured.symbol
    )
    OR NOT EXISTS (SELECT FROM markets WHERE markets.exchange = configured.exchange)
ORDER BY configured.number
