COPY restatements (
    exchange, symbol, timeframe, source, old_source, old_file, new_file, "time", seen_at,
    old_open, old_high, old_low, old_close, old_volume,
    new_open, new_high, new_low, new_close, new_volume
) FROM STDIN (FORMAT binary)
