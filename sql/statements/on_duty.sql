-- For each of some series: its first day that was fetched on that day or the day after, as live polling and the daily
-- settlement do. A series without such a day has no row. `number`: of the series, from 1.
-- LATERAL: each series by the primary key, no further than that day.
SELECT series.number, duty.since
FROM unnest(%(exchanges)s::text[], %(symbols)s::text[], %(timeframes)s::text[]) WITH ORDINALITY
    AS series (exchange, symbol, timeframe, number)
CROSS JOIN LATERAL (
    SELECT day AS since
    FROM slice_ledger
    WHERE slice_ledger.exchange = series.exchange
        AND slice_ledger.symbol = series.symbol
        AND slice_ledger.timeframe = series.timeframe
        AND (fetched_at AT TIME ZONE 'UTC')::date <= day + 1
    ORDER BY day
    LIMIT 1
) AS duty
