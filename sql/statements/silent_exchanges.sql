-- The exchanges and timeframes that possibly have silences on the days from :first to :last. These have recorded
-- silences on these days, or missing candles that two complete answers did not contain.
SELECT lines.exchange, lines.timeframe
FROM (SELECT DISTINCT exchange, timeframe FROM series) AS lines
WHERE EXISTS (
    SELECT
    FROM slice_ledger
    WHERE slice_ledger.exchange = lines.exchange
        AND slice_ledger.timeframe = lines.timeframe
        AND slice_ledger.day BETWEEN %(first)s AND %(last)s
        AND no_trades + outage + halted + not_listed > 0
)
OR EXISTS (
    SELECT
    FROM silences
    WHERE silences.exchange = lines.exchange
        AND silences.timeframe = lines.timeframe
        AND silence_start < (%(last)s::date + 1)::timestamp AT TIME ZONE 'UTC'
        AND silence_end > %(first)s::date::timestamp AT TIME ZONE 'UTC'
)
ORDER BY lines.exchange, lines.timeframe
