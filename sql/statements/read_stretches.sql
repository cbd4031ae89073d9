-- The stretches of some series of one exchange that overlap [first, last) or begin or end right beside it.
SELECT
    stretches.symbol,
    stretches.timeframe,
    stretches.stretch_start,
    stretches.stretch_end,
    stretches.file_id,
    files.url LIKE 'file://%%' AS is_imported
FROM source_stretches AS stretches
JOIN source_files AS files ON files.id = stretches.file_id
WHERE stretches.exchange = %(exchange)s
    AND stretches.symbol = ANY(%(symbols)s)
    AND stretches.stretch_start <= %(last)s
    AND stretches.stretch_end >= %(first)s
ORDER BY stretches.symbol, stretches.timeframe, stretches.stretch_start
