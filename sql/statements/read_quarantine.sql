-- The quarantined rows of the given slices of one exchange that no valid candle has replaced yet.
-- `number`: position of the slice in the parameters, from 1.
SELECT slices.number, quarantine."time", quarantine.first_seen, quarantine.last_seen
FROM unnest(%(symbols)s::text[], %(timeframes)s::text[], %(days)s::date[])
    WITH ORDINALITY AS slices (symbol, timeframe, day, number)
JOIN quarantine
    ON quarantine.exchange = %(exchange)s
    AND quarantine.symbol = slices.symbol
    AND quarantine.timeframe = slices.timeframe
    AND quarantine.day = slices.day
WHERE quarantine.resolved_at IS NULL
