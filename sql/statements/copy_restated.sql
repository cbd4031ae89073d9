COPY restated (
    exchange, symbol, timeframe, "time", open, high, low, close, volume, price_scale, volume_scale
) FROM STDIN (FORMAT binary)
