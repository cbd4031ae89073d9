-- The given instants that lie in no chunk of the hypertable yet; none if candles is a plain table.
SELECT instants.instant
FROM unnest(%(instants)s::timestamptz[]) AS instants (instant)
WHERE EXISTS (
    SELECT
    FROM timescaledb_information.hypertables
    WHERE hypertable_schema = current_schema() AND hypertable_name = 'candles'
)
AND NOT EXISTS (
    SELECT
    FROM timescaledb_information.chunks
    WHERE hypertable_schema = current_schema()
        AND hypertable_name = 'candles'
        AND range_start <= instants.instant
        AND range_end > instants.instant
)
