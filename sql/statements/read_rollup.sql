COPY (
    SELECT "time", open, high, low, close, volume, candles
    FROM {view}
    WHERE exchange = %(exchange)s
        AND symbol = %(symbol)s
        AND "time" >= %(start)s
        AND "time" < %(end)s
    ORDER BY "time"
) TO STDOUT (FORMAT binary)
