SELECT at
FROM series_breaks
WHERE exchange = %s AND symbol = %s AND timeframe = %s AND at > %s AND at < %s
ORDER BY at
