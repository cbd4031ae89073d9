-- The settled slices of some series that REST no longer serves and for which the archive was not tried, or was tried
-- before :before and could not answer. `number`: of the series, from 1. LATERAL: each series by the partial index.
SELECT series.number, found.day
FROM unnest(%(exchanges)s::text[], %(symbols)s::text[], %(timeframes)s::text[], %(firsts)s::date[]) WITH ORDINALITY
    AS series (exchange, symbol, timeframe, first, number)
CROSS JOIN LATERAL (
    SELECT day
    FROM slice_ledger
    WHERE slice_ledger.exchange = series.exchange
        AND slice_ledger.symbol = series.symbol
        AND slice_ledger.timeframe = series.timeframe
        AND beyond_horizon > 0
        AND day >= series.first
        AND state = 'settled'
        AND (
            note IS NULL
            OR note NOT LIKE %(tried)s
            OR (note LIKE ANY(%(passing)s) AND fetched_at <= %(before)s)
        )
) AS found
ORDER BY series.number, found.day
