-- For each exchange except the given exchange, for each of its timeframes and for each given day: the slices with the
-- most candles, at most :witnesses slices. The slices show whether these other exchanges traded on the day.
SELECT fullest.*
FROM (SELECT DISTINCT exchange, timeframe FROM series WHERE exchange <> %(exchange)s) AS others
CROSS JOIN unnest(%(days)s::date[]) AS days (day)
CROSS JOIN LATERAL (
    SELECT *
    FROM slice_ledger
    WHERE slice_ledger.exchange = others.exchange
        AND slice_ledger.timeframe = others.timeframe
        AND slice_ledger.day = days.day
        AND slice_ledger.present > 0
    ORDER BY slice_ledger.present DESC, slice_ledger.symbol
    LIMIT %(witnesses)s
) AS fullest
