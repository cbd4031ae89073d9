-- Days on which missing candles have a wrong reason, for the series of the given slices of one exchange. The reason
-- says that the market was closed. But a later candle is stored, so the market was only halted. `last_candle`: the start
-- of the last stored candle.
-- The first part finds the days with a gap of the reason delisted that begins before the last candle.
-- The second part (`closed`) finds the days that became beyond_horizon because the market was closed. Such a day was
-- fetched before the start of the last candle, and its note says that the market was closed.
SELECT series.exchange, series.symbol, series.timeframe, found.day, found.closed, series.last_candle
FROM (
    SELECT DISTINCT slices.symbol, slices.timeframe
    FROM unnest(%(symbols)s::text[], %(timeframes)s::text[]) AS slices (symbol, timeframe)
) AS written
JOIN series
    ON series.exchange = %(exchange)s
    AND series.symbol = written.symbol
    AND series.timeframe = written.timeframe
CROSS JOIN LATERAL (
    SELECT day, bool_or(delistings.closed) AS closed
    FROM (
        SELECT slice_ledger.day, false AS closed
        FROM slice_ledger
        WHERE slice_ledger.exchange = series.exchange
            AND slice_ledger.symbol = series.symbol
            AND slice_ledger.timeframe = series.timeframe
            AND slice_ledger.delisted > 0
            AND slice_ledger.day <= (series.last_candle AT TIME ZONE 'UTC')::date
            AND EXISTS (
                SELECT
                FROM gaps
                WHERE gaps.exchange = series.exchange
                    AND gaps.symbol = series.symbol
                    AND gaps.timeframe = series.timeframe
                    AND gaps.gap_start >= slice_ledger.day::timestamp AT TIME ZONE 'UTC'
                    AND gaps.gap_start
                        < least((slice_ledger.day + 1)::timestamp AT TIME ZONE 'UTC', series.last_candle)
                    AND gaps.reason = 'delisted'
            )
        UNION ALL
        SELECT slice_ledger.day, true AS closed
        FROM slice_ledger
        WHERE slice_ledger.exchange = series.exchange
            AND slice_ledger.symbol = series.symbol
            AND slice_ledger.timeframe = series.timeframe
            AND slice_ledger.beyond_horizon > 0
            AND slice_ledger.note LIKE %(closed)s
            AND slice_ledger.fetched_at < series.last_candle
    ) AS delistings
    GROUP BY day
) AS found
