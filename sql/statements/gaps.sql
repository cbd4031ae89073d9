SELECT exchange, symbol, timeframe, gap_start, gap_end, reason, observations, first_seen, last_seen
FROM gaps
WHERE (%(exchange)s::text IS NULL OR exchange = %(exchange)s)
    AND (%(symbol)s::text IS NULL OR symbol = %(symbol)s)
    AND (%(start)s::timestamptz IS NULL OR gap_start >= %(start)s)
    AND (%(end)s::timestamptz IS NULL OR gap_start < %(end)s)
    AND reason = ANY(%(reasons)s)
ORDER BY gap_start DESC, exchange, symbol, timeframe
LIMIT %(limit)s
