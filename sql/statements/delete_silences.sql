DELETE FROM silences
WHERE exchange = %(exchange)s AND timeframe = %(timeframe)s AND silence_start < %(end)s AND silence_end > %(start)s
