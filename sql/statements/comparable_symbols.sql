-- The given symbols for which 1m candles of at least :fewest exchanges are stored. Closes of other symbols cannot be
-- compared.
SELECT symbol
FROM series
WHERE symbol = ANY(%(symbols)s)
    AND timeframe = '1m'
GROUP BY symbol
HAVING count(*) >= %(fewest)s
ORDER BY symbol
