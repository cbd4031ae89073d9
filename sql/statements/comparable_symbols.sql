-- The symbols, of some, that enough exchanges have as 1m candles for a comparison of their closes.
SELECT symbol
FROM series
WHERE symbol = ANY(%(symbols)s)
    AND timeframe = '1m'
GROUP BY symbol
HAVING count(*) >= %(fewest)s
ORDER BY symbol
