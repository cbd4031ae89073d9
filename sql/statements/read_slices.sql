-- The stored candles of some slices of one exchange, each with the number of its slice (from 1).
COPY (
    SELECT slices.number, stored.*
    FROM unnest(
        %(symbols)s::text[], %(timeframes)s::text[], %(starts)s::timestamptz[], %(ends)s::timestamptz[]
    ) WITH ORDINALITY AS slices (symbol, timeframe, starts, ends, number)
    CROSS JOIN LATERAL (
        SELECT "time", open, high, low, close, volume
        FROM ohlcv
        WHERE exchange = %(exchange)s
            AND symbol = slices.symbol
            AND timeframe = slices.timeframe
            AND "time" >= slices.starts
            AND "time" < slices.ends
            -- The bounds of all the slices, as constants: with them the planner leaves out other chunks.
            AND "time" >= %(first)s
            AND "time" < %(last)s
        ORDER BY "time"
    ) AS stored
) TO STDOUT (FORMAT binary)
