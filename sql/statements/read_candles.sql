COPY (
    SELECT "time", open, high, low, close, volume
    FROM ohlcv
    WHERE exchange = %(exchange)s
        AND symbol = %(symbol)s
        AND timeframe = %(timeframe)s
        AND "time" >= %(start)s
        AND "time" < %(end)s
    ORDER BY "time"
) TO STDOUT (FORMAT binary)
