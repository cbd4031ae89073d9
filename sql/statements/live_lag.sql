-- How far live polling has come, for each exchange with live slices of yesterday or today. For each series, the end of
-- its last polled candle is computed. `newest`: the latest of these ends. `oldest`: the earliest of these ends.
-- Only the series in :series count.
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
