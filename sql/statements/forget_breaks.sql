-- Deletes the breaks in [:start, :end) that are not in :kept, because the stored candles no longer show these breaks.
-- Breaks of the kind :market (a change of the market) are not deleted.
DELETE FROM series_breaks
WHERE exchange = %(exchange)s
    AND symbol = %(symbol)s
    AND timeframe = %(timeframe)s
    AND at >= %(start)s
    AND at < %(end)s
    AND kind <> %(market)s
    AND at <> ALL(%(kept)s::timestamptz[])
