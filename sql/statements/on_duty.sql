-- For each given series: the first day that was fetched before the end of the next day. Live polling and the daily
-- settlement fetch days this early. A series without such a day has no row.
-- `number`: position of the series in the parameters, from 1. LATERAL reads each series through the primary key and
-- stops at the first such day.
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
