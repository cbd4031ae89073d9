-- The gaps of some slices of one exchange, each with the number of its slice (from 1).
-- LATERAL: slice by slice by the primary key. Without statistics the planner would join with all existing gaps.
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
