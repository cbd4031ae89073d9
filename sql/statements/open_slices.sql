-- The open slices of the given series, from the start day of each series to the day before :today. A slice is open if
-- it is not settled, or if candles are missing without a final reason.
-- `number`: position of the series in the parameters, from 1. `first_seen`, `unexplained_seen` and `missing_until`
-- belong to the slice's gaps without a final reason. For a slice without such a gap, `first_seen` is the time of its
-- fetch, and `missing_until` is the end of its day.
-- MATERIALIZED makes the planner read the open slices once. LATERAL then reads the gaps of each slice through an index.
-- Without these two words, and if there are no table statistics, the ledger of an exchange would be read once for each
-- series. This would take seconds.
WITH open_slices AS MATERIALIZED (
    SELECT exchange, symbol, timeframe, day, state, fetched_at
    FROM slice_ledger
    WHERE day < %(today)s
        AND (state <> 'settled' OR unknown > 0 OR quarantined > 0)
)

SELECT
    series.number,
    open_slices.day,
    open_slices.state,
    open_slices.fetched_at,
    coalesce(seen.first_seen, open_slices.fetched_at) AS first_seen,
    seen.unexplained_seen,
    coalesce(seen.missing_until, (open_slices.day + 1)::timestamp AT TIME ZONE 'UTC') AS missing_until
FROM open_slices
JOIN unnest(%(exchanges)s::text[], %(symbols)s::text[], %(timeframes)s::text[], %(starts)s::date[]) WITH ORDINALITY
    AS series (exchange, symbol, timeframe, start, number)
    ON series.exchange = open_slices.exchange
    AND series.symbol = open_slices.symbol
    AND series.timeframe = open_slices.timeframe
    AND series.start <= open_slices.day
CROSS JOIN LATERAL (
    SELECT
        min(first_seen) AS first_seen,
        min(last_seen) FILTER (WHERE reason = 'unknown') AS unexplained_seen,
        max(gap_end) AS missing_until
    FROM gaps
    WHERE gaps.exchange = open_slices.exchange
        AND gaps.symbol = open_slices.symbol
        AND gaps.timeframe = open_slices.timeframe
        AND gaps.gap_start >= open_slices.day::timestamp AT TIME ZONE 'UTC'
        AND gaps.gap_start < (open_slices.day + 1)::timestamp AT TIME ZONE 'UTC'
        AND gaps.reason = ANY(%(open_reasons)s)
) AS seen
