SELECT stretches.symbol, stretches.timeframe, stretches.stretch_start, stretches.stretch_end
FROM source_stretches AS stretches
JOIN source_files AS files ON files.id = stretches.file_id
WHERE stretches.exchange = %(exchange)s AND files.url = %(url)s
ORDER BY stretches.symbol, stretches.timeframe, stretches.stretch_start
