SELECT
    exchange, symbol, timeframe, silence_start, silence_end, reason, traded_share, silent_series, listed_series, witness
FROM silences
WHERE exchange = %(exchange)s AND timeframe = %(timeframe)s AND silence_start < %(end)s AND silence_end > %(start)s
