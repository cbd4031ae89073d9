-- How far silences at the ends of some days reach: for each series that is silent on a day beyond, the last traded day
-- before (NULL: it is not silent there) and the first traded day after (likewise).
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
                AND slice.day = %(first)s::date - 1
                AND slice.present = 0
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
                AND slice.day = %(last)s::date + 1
                AND slice.present = 0
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
