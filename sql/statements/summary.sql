-- One row for each exchange that is configured or has slices. The ledger is read in one pass, and its rows are grouped
-- by exchange and day. A day is complete if the slices of all configured series of the exchange are settled on this
-- day. :today is the current UTC day.
WITH wanted AS (
    SELECT exchange, series, start, series * greatest(%(today)s::date - start, 0) AS slices
    FROM unnest(%(exchanges)s::text[], %(counts)s::integer[], %(starts)s::date[])
        AS wanted (exchange, series, start)
),
ledger AS (
    -- There is no join with the configured series. If there are no table statistics, the planner would join by the
    -- exchange alone. This would take seconds.
    SELECT *, exchange || ' ' || symbol || ' ' || timeframe = ANY(%(series)s::text[]) AS is_configured
    FROM slice_ledger
),
days AS (
    SELECT
        exchange,
        day,
        count(*) AS slices,
        count(*) FILTER (WHERE state = 'settled') AS settled,
        count(*) FILTER (WHERE is_configured) AS known,
        -- `done` is the number of settled slices of configured series. It is computed as a difference, because the
        -- filter "settled and configured" would look up each settled slice in :series a second time.
        count(*) FILTER (WHERE is_configured) - count(*) FILTER (WHERE state <> 'settled' AND is_configured) AS done,
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
        sum(rows_quarantined) AS rows_quarantined
    FROM ledger
    GROUP BY exchange, day
),
complete AS (
    SELECT
        exchange,
        day,
        start,
        row_number() OVER (PARTITION BY exchange ORDER BY day) AS from_first,
        row_number() OVER (PARTITION BY exchange ORDER BY day DESC) AS from_last
    FROM days
    JOIN wanted USING (exchange)
    WHERE done = series AND day >= start
),
history AS (
    SELECT
        exchange,
        max(day) FILTER (WHERE day - start + 1 = from_first) AS complete_to,
        min(day) FILTER (WHERE %(today)s::date - day = from_last) AS complete_since
    FROM complete
    GROUP BY exchange
),
rewritten AS (
    SELECT exchange, count(*) AS restated
    FROM restatements
    GROUP BY exchange
)

SELECT
    exchange,
    coalesce(sum(days.slices), 0) AS slices,
    coalesce(sum(settled), 0) AS settled,
    coalesce(min(wanted.slices) - coalesce(sum(known) FILTER (WHERE day >= start AND day < %(today)s), 0), 0) AS unasked,
    coalesce(sum(expected), 0) AS expected,
    coalesce(sum(present), 0) AS present,
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
    coalesce(sum(rows_quarantined), 0) AS rows_quarantined,
    min(day) FILTER (WHERE settled > 0) AS first_settled,
    max(day) FILTER (WHERE settled > 0) AS last_settled,
    min(complete_to) AS complete_to,
    min(complete_since) AS complete_since,
    coalesce(min(restated), 0) AS restatements
FROM wanted
FULL JOIN days USING (exchange)
LEFT JOIN history USING (exchange)
LEFT JOIN rewritten USING (exchange)
GROUP BY exchange
ORDER BY exchange
