-- The days of some on which an exchange may have been down: two of its slices at least lack candles for good, or an
-- outage is known that may prove to be none. Exchange by exchange, for that is how the ledger is indexed.
SELECT slice_ledger.exchange, slice_ledger.day
FROM (SELECT DISTINCT exchange FROM series) AS exchanges
CROSS JOIN LATERAL (
    SELECT exchange, day
    FROM slice_ledger
    WHERE slice_ledger.exchange = exchanges.exchange
        AND timeframe = %(timeframe)s
        AND day = ANY(%(days)s::date[])
    GROUP BY exchange, day
    HAVING count(*) FILTER (WHERE no_trades + outage > 0) > 1 OR sum(outage) > 0
) AS slice_ledger
ORDER BY 1, 2
