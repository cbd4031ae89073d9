-- Series that were stored before their market was known, or that have a market with another name now.
UPDATE series
SET market_id = markets.market_id
FROM markets
WHERE series.exchange = %(exchange)s
    AND markets.exchange = series.exchange
    AND markets.symbol = series.symbol
    AND series.market_id IS DISTINCT FROM markets.market_id
