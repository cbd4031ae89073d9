INSERT INTO silences (
    exchange, symbol, timeframe, silence_start, silence_end, reason, traded_share, silent_series, listed_series, witness
)
VALUES %s
