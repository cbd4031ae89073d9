-- Sets the market of each series to the market in the market list. Two kinds of series change: series that were stored
-- before their market was known, and series with a renamed market.
UPDATE series
SET market_id = markets.market_id
FROM markets
WHERE series.exchange = %(exchange)s
    AND markets.exchange = series.exchange
    AND markets.symbol = series.symbol
    AND series.market_id IS DISTINCT FROM markets.market_id
