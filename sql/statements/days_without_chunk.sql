-- The given instants for which the hypertable has no chunk yet. If candles is a plain table, no instant is returned.
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
