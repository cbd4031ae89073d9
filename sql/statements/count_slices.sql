-- The number of stored candles of each given slice of one exchange. `number`: position of the slice in the parameters,
-- from 1.
SELECT
    slices.number,
    (
        SELECT count(*)
        FROM candles
        WHERE exchange = %(exchange)s
            AND symbol = slices.symbol
            AND timeframe = slices.timeframe
            AND "time" >= slices.starts
            AND "time" < slices.ends
            -- :first and :last are the bounds of all slices together. With these constants, the planner excludes the
            -- chunks outside of the bounds.
            AND "time" >= %(first)s
            AND "time" < %(last)s
    ) AS candles
FROM unnest(
    %(symbols)s::text[], %(timeframes)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]
) WITH ORDINALITY AS slices (symbol, timeframe, starts, ends, number)
ORDER BY slices.number
