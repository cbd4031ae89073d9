-- Gives each series the id of its market in the stored market list. A series changes in two cases: the series was
-- stored before the list contained its market, or its market has a new id.
UPDATE series
SET market_id = markets.market_id
FROM markets
WHERE series.exchange = %(exchange)s
    AND markets.exchange = series.exchange
    AND markets.symbol = series.symbol
    AND series.market_id IS DISTINCT FROM markets.market_id
