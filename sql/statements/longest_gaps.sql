-- For each series and UTC day: the length in candles of the longest gap with one of the given reasons. LATERAL reads
-- each series through the primary key.
SELECT series.symbol, found.day, found.candles
FROM series
CROSS JOIN LATERAL (
    SELECT (gap_start AT TIME ZONE 'UTC')::date AS day, max(candles) AS candles
    FROM gaps
    WHERE gaps.exchange = series.exchange
        AND gaps.symbol = series.symbol
        AND gaps.timeframe = series.timeframe
        AND gap_start >= %(start)s
        AND gap_start < %(end)s
        AND reason = ANY(%(reasons)s)
    GROUP BY 1
) AS found
WHERE series.exchange = %(exchange)s AND series.timeframe = %(timeframe)s
