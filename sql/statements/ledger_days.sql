SELECT *
FROM slice_ledger
WHERE exchange = %(exchange)s
    AND timeframe = %(timeframe)s
    AND day = ANY(%(days)s::date[])
ORDER BY symbol, day
