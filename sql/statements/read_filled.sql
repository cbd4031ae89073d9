COPY (
    SELECT
        "time",
        open,
        high,
        low,
        close,
        volume,
        coalesce(array_position(%(reasons)s::text[], reason), 0)::bigint
    FROM ohlcv_filled(%(exchange)s, %(symbol)s, %(timeframe)s, %(start)s, %(end)s, %(reasons)s::text[])
) TO STDOUT (FORMAT binary)
