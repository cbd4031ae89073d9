-- The slices of the given series with gaps that are checked again for late candles. A gap is checked until it has been
-- observed four times. Two kinds of gaps are checked. The first kind are halts, outages and broken candles of any day.
-- The second kind are minutes without trades in busy series, since the day :busy_since.
-- Whether a series is busy on a day depends on its ledger rows for this day and for up to :days_before days before. The
-- series is busy if at least the share :busy_share of its candles had trades. One absent candle is always allowed,
-- because a week has few long candles. Candles that are missing for another reason, such as a halt, do not count.
-- `number`: position of the series in the parameters, from 1. LATERAL reads series by series. For the first kind, only
-- the gaps in the index gaps_to_check_later are read, because the query has the same conditions as this index. For the
-- second kind, only the ledger rows of recent days are read.
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
                sum(present) OVER week > 0
                    AND sum(present) OVER week + 1 >= %(busy_share)s * sum(present + no_trades) OVER week AS is_busy
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
