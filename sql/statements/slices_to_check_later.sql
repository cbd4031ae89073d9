-- The slices of some series with a halt, an outage or broken candles that are still checked for late candles.
-- `number`: of the series, from 1. LATERAL, and the condition of the index: series by series, and only the gaps that are
-- in the index.
SELECT series.number, found.day, found.observations, found.last_seen, found.missing_until
FROM unnest(%(exchanges)s::text[], %(symbols)s::text[], %(timeframes)s::text[]) WITH ORDINALITY
    AS series (exchange, symbol, timeframe, number)
CROSS JOIN LATERAL (
    SELECT
        (gap_start AT TIME ZONE 'UTC')::date AS day,
        min(observations) AS observations,
        max(last_seen) AS last_seen,
        max(gap_end) AS missing_until
    FROM gaps
    WHERE gaps.exchange = series.exchange
        AND gaps.symbol = series.symbol
        AND gaps.timeframe = series.timeframe
        AND gaps.reason IN ('outage', 'halted', 'broken_at_source')
        AND gaps.observations < 4
    GROUP BY 1
) AS found
