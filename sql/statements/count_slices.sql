-- How many candles are stored of some slices of one exchange, by the number of the slice (from 1).
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
            -- The bounds of all the slices, as constants: with them the planner leaves out other chunks.
            AND "time" >= %(first)s
            AND "time" < %(last)s
    ) AS candles
FROM unnest(
    %(symbols)s::text[], %(timeframes)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]
) WITH ORDINALITY AS slices (symbol, timeframe, starts, ends, number)
ORDER BY slices.number
