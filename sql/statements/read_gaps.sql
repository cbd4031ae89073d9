-- The gaps of the given slices of one exchange. `number`: position of the slice in the parameters, from 1.
-- LATERAL reads the gaps of each slice through the primary key. Without LATERAL, and if there are no table statistics,
-- the planner would join the slices with all stored gaps.
SELECT slices.number, found.*
FROM unnest(
    %(symbols)s::text[], %(timeframes)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]
) WITH ORDINALITY AS slices (symbol, timeframe, starts, ends, number)
CROSS JOIN LATERAL (
    SELECT gap_start, gap_end, reason, observations, first_seen, last_seen
    FROM gaps
    WHERE exchange = %(exchange)s
        AND symbol = slices.symbol
        AND timeframe = slices.timeframe
        AND gap_start >= slices.starts
        AND gap_start < slices.ends
    ORDER BY gap_start
) AS found
ORDER BY slices.number, found.gap_start
