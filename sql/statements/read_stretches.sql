SELECT stretch_start, stretch_end, file_id
FROM source_stretches
WHERE exchange = %s AND symbol = %s AND timeframe = %s AND stretch_start <= %s AND stretch_end >= %s
ORDER BY stretch_start
