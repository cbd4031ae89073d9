SELECT *
FROM slice_ledger
WHERE exchange = %(exchange)s
    AND timeframe = %(timeframe)s
    AND symbol = ANY(%(symbols)s)
    AND day BETWEEN %(first)s AND %(last)s
ORDER BY symbol, day
