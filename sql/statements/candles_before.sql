COPY (
    SELECT "time", open, high, low, close, volume
    FROM ohlcv
    WHERE exchange = %s
        AND symbol = %s
        AND timeframe = %s
        AND "time" < %s
        AND "time" > %s
        AND "time" < %s
    ORDER BY "time" DESC
    LIMIT %s
) TO STDOUT (FORMAT binary)
