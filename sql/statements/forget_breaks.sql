-- Breaks that the candles no longer show.
DELETE FROM series_breaks
WHERE exchange = %(exchange)s
    AND symbol = %(symbol)s
    AND timeframe = %(timeframe)s
    AND at >= %(start)s
    AND at < %(end)s
    AND kind <> %(market)s
    AND at <> ALL(%(kept)s::timestamptz[])
