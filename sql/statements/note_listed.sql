UPDATE markets
SET listed = found.listed
FROM (VALUES %s) AS found (exchange, symbol, listed)
WHERE markets.exchange = found.exchange AND markets.symbol = found.symbol
