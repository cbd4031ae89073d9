-- The given symbols with 1m candles of at least :fewest exchanges. Only the closes of these symbols can be compared.
SELECT symbol
FROM series
WHERE symbol = ANY(%(symbols)s)
    AND timeframe = '1m'
GROUP BY symbol
HAVING count(*) >= %(fewest)s
ORDER BY symbol
