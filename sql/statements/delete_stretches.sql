DELETE FROM source_stretches
WHERE exchange = %s AND symbol = %s AND timeframe = %s AND stretch_start = ANY(%s)
