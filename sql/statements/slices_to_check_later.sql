-- The slices of some series with gaps that are still checked for late candles. These are halts, outages and broken candles
-- of any day, and since :busy_since the minutes without trades of busy series: those that have :busy_share of the candles
-- of a day and the :days_before stored days before it, without the time in which the market was halted or not listed.
-- `number`: of the series, from 1. LATERAL, and the condition of the index: series by series, and only the gaps that are
-- in the index, and the ledger rows of recent days.
SELECT series.number, found.day, found.observations, found.last_seen, found.missing_until
FROM unnest(%(exchanges)s::text[], %(symbols)s::text[], %(timeframes)s::text[]) WITH ORDINALITY
    AS series (exchange, symbol, timeframe, number)
CROSS JOIN LATERAL (
    SELECT
        checked.day,
        min(checked.observations) AS observations,
        max(checked.last_seen) AS last_seen,
        max(checked.gap_end) AS missing_until
    FROM (
        SELECT (gap_start AT TIME ZONE 'UTC')::date AS day, observations, last_seen, gap_end
        FROM gaps
        WHERE gaps.exchange = series.exchange
            AND gaps.symbol = series.symbol
            AND gaps.timeframe = series.timeframe
            AND gaps.reason IN ('outage', 'halted', 'broken_at_source')
            AND gaps.observations < 4
        UNION ALL
        SELECT busy.day, gaps.observations, gaps.last_seen, gaps.gap_end
        FROM (
            SELECT
                day,
                state = 'settled' AND source = 'rest' AND no_trades > 0 AS has_holes,
                sum(present) OVER week >= %(busy_share)s * sum(present + no_trades) OVER week AS is_busy
            FROM slice_ledger
            WHERE slice_ledger.exchange = series.exchange
                AND slice_ledger.symbol = series.symbol
                AND slice_ledger.timeframe = series.timeframe
                AND slice_ledger.day >= %(busy_from)s
            WINDOW week AS (ORDER BY day ROWS BETWEEN %(days_before)s PRECEDING AND CURRENT ROW)
        ) AS busy
        JOIN gaps
            ON gaps.exchange = series.exchange
            AND gaps.symbol = series.symbol
            AND gaps.timeframe = series.timeframe
            AND gaps.gap_start >= busy.day::timestamp AT TIME ZONE 'UTC'
            AND gaps.gap_start < (busy.day + 1)::timestamp AT TIME ZONE 'UTC'
        WHERE busy.day >= %(busy_since)s
            AND busy.has_holes
            AND busy.is_busy
            AND gaps.reason = 'no_trades'
            AND gaps.observations < 4
    ) AS checked
    GROUP BY checked.day
) AS found
