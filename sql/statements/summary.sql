SELECT
    exchange,
    count(DISTINCT symbol) AS symbols,
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
    sum(rows_quarantined) AS rows_quarantined,
    min(day) FILTER (WHERE state = 'settled') AS first_settled,
    max(day) FILTER (WHERE state = 'settled') AS last_settled
FROM slice_ledger
GROUP BY exchange
ORDER BY exchange
