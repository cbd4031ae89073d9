INSERT INTO gaps (
    exchange, symbol, timeframe, gap_start, gap_end, candles, reason, observations, first_seen, last_seen
)
VALUES %s
