INSERT INTO quarantine AS known (
    exchange, symbol, timeframe, day, "time", open, high, low, close, volume, rules, source, first_seen, last_seen
)
VALUES %s
ON CONFLICT (exchange, symbol, timeframe, day, "time", open, high, low, close, volume) DO UPDATE SET
    rules = excluded.rules,
    last_seen = excluded.last_seen,
    count = known.count + 1
-- If the result of the same fetch is written a second time, it does not count as another observation.
WHERE excluded.last_seen > known.last_seen
