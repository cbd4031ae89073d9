-- For each series with a silence across the start or the end of the range of days: how far this silence can reach.
-- The range starts and ends at a midnight (UTC). A silence crosses such a midnight in two cases. In the first case, the
-- ledger has a day without candles directly before or directly after this midnight. In the second case, a recorded
-- silence contains this midnight.
-- `first`: the last day before the range with a candle, or the first ledger day of the series if no such day exists.
-- NULL: no silence crosses the start of the range.
-- `last`: the first day after the range with a candle, or the last ledger day of the series if no such day exists.
-- NULL: no silence crosses the end of the range.
SELECT found.first, found.last
FROM series
CROSS JOIN LATERAL (
    SELECT
        CASE WHEN EXISTS (
            SELECT
            FROM slice_ledger AS slice
            WHERE slice.exchange = series.exchange
                AND slice.symbol = series.symbol
                AND slice.timeframe = series.timeframe
                AND slice.day IN (%(first)s::date - 1, %(first)s::date)
                AND slice.present = 0
        ) OR EXISTS (
            SELECT
            FROM silences AS silence
            WHERE silence.exchange = series.exchange
                AND silence.symbol = series.symbol
                AND silence.timeframe = series.timeframe
                AND silence.silence_start < %(first)s::date::timestamp AT TIME ZONE 'UTC'
                AND silence.silence_end > %(first)s::date::timestamp AT TIME ZONE 'UTC'
        ) THEN (
            SELECT coalesce(max(slice.day) FILTER (WHERE slice.present > 0), min(slice.day))
            FROM slice_ledger AS slice
            WHERE slice.exchange = series.exchange
                AND slice.symbol = series.symbol
                AND slice.timeframe = series.timeframe
                AND slice.day < %(first)s
        ) END AS first,
        CASE WHEN EXISTS (
            SELECT
            FROM slice_ledger AS slice
            WHERE slice.exchange = series.exchange
                AND slice.symbol = series.symbol
                AND slice.timeframe = series.timeframe
                AND slice.day IN (%(last)s::date, %(last)s::date + 1)
                AND slice.present = 0
        ) OR EXISTS (
            SELECT
            FROM silences AS silence
            WHERE silence.exchange = series.exchange
                AND silence.symbol = series.symbol
                AND silence.timeframe = series.timeframe
                AND silence.silence_start < (%(last)s::date + 1)::timestamp AT TIME ZONE 'UTC'
                AND silence.silence_end > (%(last)s::date + 1)::timestamp AT TIME ZONE 'UTC'
        ) THEN (
            SELECT coalesce(min(slice.day) FILTER (WHERE slice.present > 0), max(slice.day))
            FROM slice_ledger AS slice
            WHERE slice.exchange = series.exchange
                AND slice.symbol = series.symbol
                AND slice.timeframe = series.timeframe
                AND slice.day > %(last)s
        ) END AS last
) AS found
WHERE series.exchange = %(exchange)s
    AND series.timeframe = %(timeframe)s
    AND (found.first IS NOT NULL OR found.last IS NOT NULL)
