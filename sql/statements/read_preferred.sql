COPY (
    SELECT "time", open, high, low, close, volume, array_position(%(exchanges)s::text[], exchange)::bigint
    FROM preferred
    WHERE symbol = %(symbol)s AND timeframe = %(timeframe)s AND "time" >= %(start)s AND "time" < %(end)s
    ORDER BY "time"
) TO STDOUT (FORMAT binary)
