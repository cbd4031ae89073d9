-- The number of missing candles of a series in a stretch of time, by reason; gaps are cut to its bounds.
SELECT
    reason,
    sum(
        extract(epoch FROM least(gap_end, %(end)s) - greatest(gap_start, %(start)s))
        / extract(epoch FROM timeframe_interval(timeframe))
    )::bigint AS candles
FROM gaps
WHERE exchange = %(exchange)s
    AND symbol = %(symbol)s
    AND timeframe = %(timeframe)s
    -- A gap never crosses midnight, so one that reaches into the stretch begins less than a day before it.
    AND gap_start > %(start)s::timestamptz - interval '24 hours'
    AND gap_start < %(end)s
    AND gap_end > %(start)s
GROUP BY reason
