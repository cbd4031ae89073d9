-- For the given symbols of one exchange: the stretches of time with candles from files. Each row has a stretch and its
-- file. The stretches that overlap the time from :first to :last are returned, and those that end at :first or begin at
-- :last.
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
