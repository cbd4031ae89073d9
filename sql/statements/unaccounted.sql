-- The slices of an exchange for which ledger, candles and gaps contradict each other, on the days from :first to :last.
-- Slices with stored candles but without a ledger row are included.
WITH stored AS (
    SELECT symbol, ("time" AT TIME ZONE 'UTC')::date AS day, count(*) AS candles
    FROM candles
    WHERE exchange = %(exchange)s AND timeframe = %(timeframe)s AND "time" >= %(start)s AND "time" < %(end)s
    GROUP BY 1, 2
),
missing AS (
    SELECT symbol, (gap_start AT TIME ZONE 'UTC')::date AS day, sum(candles) AS candles
    FROM gaps
    WHERE exchange = %(exchange)s AND timeframe = %(timeframe)s AND gap_start >= %(start)s AND gap_start < %(end)s
    GROUP BY 1, 2
),
ledger AS (
    SELECT symbol, day, expected, present
    FROM slice_ledger
    WHERE exchange = %(exchange)s AND timeframe = %(timeframe)s AND day BETWEEN %(first)s AND %(last)s
)
SELECT
    symbol,
    day,
    coalesce(ledger.expected, 0) AS expected,
    coalesce(ledger.present, 0) AS present,
    coalesce(stored.candles, 0) AS stored,
    coalesce(missing.candles, 0) AS in_gaps
FROM ledger
FULL JOIN stored USING (symbol, day)
FULL JOIN missing USING (symbol, day)
WHERE coalesce(stored.candles, 0) <> coalesce(ledger.present, 0)
    OR coalesce(stored.candles, 0) + coalesce(missing.candles, 0) <> coalesce(ledger.expected, 0)
ORDER BY symbol, day
