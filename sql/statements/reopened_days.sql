-- The days of the given series for which to try a source. The slice of such a day is settled, and has missing candles
-- with the reason beyond_horizon.
-- A day is returned in two cases. The archive was not tried yet for this day, and :untried is true. Or the last attempt
-- was made at or before :before, and its note contains one of the texts in :passing. `Tried.reopens` in
-- store/reopened.py contains the same rule. Change both rules together.
-- `number`: position of the series in the parameters, from 1. LATERAL reads each series through the partial index.
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
            (%(untried)s AND (note IS NULL OR note NOT LIKE %(tried)s))
            OR (note LIKE ANY(%(passing)s) AND fetched_at <= %(before)s)
        )
) AS found
ORDER BY series.number, found.day
