-- The number of missing candles of a series in [:start, :end), by reason. If a gap begins before :start or ends after
-- :end, only its part inside this range counts.
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
    -- A gap never crosses midnight. So a gap that overlaps [:start, :end) begins less than a day before :start.
    AND gap_start > %(start)s::timestamptz - interval '24 hours'
    AND gap_start < %(end)s
    AND gap_end > %(start)s
GROUP BY reason
