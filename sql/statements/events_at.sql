SELECT exchange, symbol, timeframe, kind, detail, at, first_seen, last_seen
FROM series_events
WHERE exchange = %(exchange)s AND at >= %(start)s AND at < %(end)s
ORDER BY at, symbol
