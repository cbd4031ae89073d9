SELECT exchange, symbol, timeframe, kind, detail, at, first_seen, last_seen
FROM series_events
WHERE (%(exchange)s::text IS NULL OR exchange = %(exchange)s) AND last_seen >= %(since)s
ORDER BY last_seen DESC, exchange, symbol
