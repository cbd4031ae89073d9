-- How far live polling has come, for each exchange that is polled live. A series is covered up to the end of its last
-- polled candle. `newest`: this end for the series that is furthest ahead. `oldest`: this end for the series that is
-- furthest behind.
-- Only the configured :series count, with their live slices of yesterday and today.
SELECT polled.exchange, max(covered) AS newest, min(covered) AS oldest
FROM unnest(%(exchanges)s::text[], %(timeframes)s::text[]) AS polled (exchange, timeframe)
CROSS JOIN LATERAL (
    SELECT max(day::timestamp AT TIME ZONE 'UTC' + expected * timeframe_interval(timeframe)) AS covered
    FROM slice_ledger
    WHERE exchange = polled.exchange
        AND timeframe = polled.timeframe
        AND day >= %(today)s::date - 1
        AND state = 'live'
        AND exchange || ' ' || symbol || ' ' || timeframe = ANY(%(series)s::text[])
    GROUP BY symbol
) AS live
GROUP BY polled.exchange
