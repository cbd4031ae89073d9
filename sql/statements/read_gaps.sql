-- The gaps of some slices of one exchange, each with the number of its slice (from 1).
SELECT
    slices.number,
    gaps.gap_start,
    gaps.gap_end,
    gaps.reason,
    gaps.observations,
    gaps.first_seen,
    gaps.last_seen
FROM unnest(
    %(symbols)s::text[], %(timeframes)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]
) WITH ORDINALITY AS slices (symbol, timeframe, starts, ends, number)
JOIN gaps
    ON gaps.exchange = %(exchange)s
    AND gaps.symbol = slices.symbol
    AND gaps.timeframe = slices.timeframe
    AND gaps.gap_start >= slices.starts
    AND gaps.gap_start < slices.ends
ORDER BY slices.number, gaps.gap_start
