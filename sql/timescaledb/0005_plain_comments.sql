-- depends: 0029_plain_comments 0004_breaks_in_rollups
-- Sets the comments of the continuous aggregates and of their compression in full sentences. Nothing else changes.

COMMENT ON PROCEDURE compress_rollups(integer, jsonb) IS
    'Compresses the chunks of rollups that ended more than a week ago. If a refresh has added rows to a compressed '
    'chunk, the chunk is compressed again.';

-- A server with the Apache licence of TimescaleDB has no continuous aggregates. The columns of the aggregates get the
-- comments of the views.
DO $$
DECLARE
    rollup rollups;
    "column" record;
BEGIN
    FOR rollup IN SELECT * FROM rollups LOOP
        CONTINUE WHEN to_regclass('rollup_' || rollup.name) IS NULL;
        EXECUTE format(
            'COMMENT ON VIEW %I IS %L',
            'rollup_' || rollup.name,
            format(
                'The candles of the view ohlcv_%s, and the exact sum of their volumes. Read the view instead.',
                rollup.name
            )
        );
        FOR "column" IN
            SELECT attname AS name, col_description(attrelid, attnum) AS words
            FROM pg_attribute
            WHERE attrelid = to_regclass('ohlcv_' || rollup.name) AND attnum > 0
        LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', 'rollup_' || rollup.name, "column".name, "column".words);
        END LOOP;
        EXECUTE format(
            'COMMENT ON COLUMN %I.exact_volume IS %L',
            'rollup_' || rollup.name,
            'Exact sum of the volumes. The column volume is this sum, rounded. The next longer rollup adds up these sums.'
        );
    END LOOP;
END
$$;
