-- The stored candles of the given slices of one exchange. `number`: position of the slice in the parameters, from 1.
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
            -- These constants are the bounds of all slices together. They let the planner exclude all other chunks.
            AND "time" >= %(first)s
            AND "time" < %(last)s
        ORDER BY "time"
    ) AS stored
) TO STDOUT (FORMAT binary)
