-- One row for each instant, into chunks that this makes; (schema, name) of the chunk of each row.
WITH made AS (
    INSERT INTO candles (
        exchange, symbol, timeframe, "time", open, high, low, close, volume, price_scale, volume_scale
    )
    SELECT 'titan10', 'chunk', '1d', instants.instant, 1, 1, 1, 1, 0, 1, 1
    FROM unnest(%(instants)s::timestamptz[]) AS instants (instant)
    RETURNING tableoid
)
SELECT DISTINCT pg_namespace.nspname, pg_class.relname
FROM made
JOIN pg_class ON pg_class.oid = made.tableoid
JOIN pg_namespace ON pg_namespace.oid = pg_class.relnamespace
