-- Those of the given symbols for which enough exchanges have 1m candles, so that their closes can be compared.
SELECT symbol
FROM series
WHERE symbol = ANY(%(symbols)s)
    AND timeframe = '1m'
GROUP BY symbol
HAVING count(*) >= %(fewest)s
ORDER BY symbol
