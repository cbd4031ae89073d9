-- For each given slice with a delisting date: the earlier days of the same series that must be classified as delisted.
-- A day must be classified if it has a gap that meets three conditions. The gap ends after the delisting. The gap begins
-- on the day of the delisting or later, and before the slice. The reason of the gap is in the query's list of reasons.
-- All slices belong to one exchange.
-- `number`: position of the slice in the parameters, from 1.
SELECT DISTINCT slices.number, found.day
FROM unnest(
    %(symbols)s::text[], %(timeframes)s::text[], %(starts)s::timestamptz[], %(delisted)s::timestamptz[]
) WITH ORDINALITY AS slices (symbol, timeframe, starts, delisted, number)
CROSS JOIN LATERAL (
    SELECT (gap_start AT TIME ZONE 'UTC')::date AS day
    FROM gaps
    WHERE exchange = %(exchange)s
        AND symbol = slices.symbol
        AND timeframe = slices.timeframe
        AND gap_start >= date_trunc('day', slices.delisted, 'UTC')
        AND gap_start < slices.starts
        AND gap_end > slices.delisted
        AND reason IN ('unknown', 'no_trades', 'outage', 'halted', 'not_listed')
) AS found
