SELECT
    exchange,
    symbol,
    timeframe,
    min(day) AS first,
    max(day) AS last,
    count(*) AS slices,
    count(*) FILTER (WHERE state = 'settled') AS settled,
    sum(expected) AS expected,
    sum(present) AS present,
    sum(unknown) AS unknown,
    sum(no_trades) AS no_trades,
    sum(outage) AS outage,
    sum(pre_listing) AS pre_listing,
    sum(delisted) AS delisted,
    sum(beyond_horizon) AS beyond_horizon,
    sum(quarantined) AS quarantined,
    sum(broken_at_source) AS broken_at_source,
    sum(halted) AS halted,
    sum(not_listed) AS not_listed,
    count(*) FILTER (WHERE source = 'rest') AS from_rest,
    count(*) FILTER (WHERE source = 'archive') AS from_archive,
    count(*) FILTER (WHERE source = 'import') AS from_import
FROM slice_ledger
WHERE (%(exchange)s::text IS NULL OR exchange = %(exchange)s)
    AND (%(first)s::date IS NULL OR day >= %(first)s)
    AND (%(last)s::date IS NULL OR day <= %(last)s)
GROUP BY exchange, symbol, timeframe
ORDER BY exchange, symbol, timeframe
