-- depends: 0002_rollups 0001_hypertable
-- The rollups kept ready: each a continuous aggregate of the one before it, read through the views of 0002_rollups.
-- Materialized only, and refreshed by the store right after each write (store/rollups.py), so no policy does it.

-- TimescaleDB's own policy wants a refresh policy beside it, which we have no use for. The lock is the one of the
-- refresh in store/rollups.py: the two would meet in a deadlock.
CREATE PROCEDURE compress_rollups(job_id integer DEFAULT NULL, config jsonb DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
    part regclass;
BEGIN
    FOR part IN
        SELECT format('%I.%I', chunks.chunk_schema, chunks.chunk_name)::regclass
        FROM timescaledb_information.chunks AS chunks
        JOIN timescaledb_information.continuous_aggregates AS rollups
            ON rollups.materialization_hypertable_schema = chunks.hypertable_schema
            AND rollups.materialization_hypertable_name = chunks.hypertable_name
        WHERE rollups.view_name IN ('rollup_5m', 'rollup_15m', 'rollup_1h')
            AND rollups.view_schema = current_schema()
            AND chunks.range_end < now() - interval '7 days'
    LOOP
        PERFORM pg_advisory_xact_lock(7310424202);
        PERFORM compress_chunk(part, if_not_compressed => true);
        COMMIT;
    END LOOP;
END
$$;

COMMENT ON PROCEDURE compress_rollups(integer, jsonb) IS
    'Compresses the chunks of rollups that ended a week ago, and those again that refreshes left partial.';

-- Prices are the doubles themselves, for no integer fits the mixed scales of a bucket. Measured per bar of 5m,
-- compressed: 37 bytes, 25 with prices as numeric (three times the refresh time, twice that of reading), 16 as integers
-- grouped by scale (several rows a bar). Volume is kept twice, which adds 7 bytes: as numeric, so that it adds up
-- exactly from one rollup to the next, and rounded once for who reads, because that cast took as long as all the rest
-- of reading a bar. The one that nobody reads is the last column: the rest of a row is found without it.
DO $$
DECLARE
    rollup record;
    "column" record;
BEGIN
    IF current_setting('timescaledb.license') <> 'timescale' THEN
        RAISE NOTICE 'Rollups stay plain views: this TimescaleDB has the Apache licence only.';
        RETURN;
    END IF;

    CREATE MATERIALIZED VIEW rollup_5m WITH (
        timescaledb.continuous,
        timescaledb.materialized_only = true,
        timescaledb.create_group_indexes = false,
        timescaledb.chunk_interval = '70 days'
    ) AS
    SELECT
        exchange,
        symbol,
        time_bucket(interval '5 minutes', "time") AS "time",
        first(open / price_scale, "time") AS open,
        max(high / price_scale) AS high,
        min(low / price_scale) AS low,
        last(close / price_scale, "time") AS close,
        sum(exact_decimal(volume, volume_scale))::double precision AS volume,
        count(*) AS candles,
        sum(exact_decimal(volume, volume_scale)) AS exact_volume
    FROM candles
    WHERE timeframe = '1m'
    GROUP BY 1, 2, 3
    WITH NO DATA;

    FOR rollup IN
        SELECT *
        FROM (VALUES
            (1, '15m', '5m', interval '15 minutes', '70 days'),
            (2, '1h', '15m', interval '1 hour', '364 days'),
            (3, '4h', '1h', interval '4 hours', '364 days'),
            (4, '1d', '4h', interval '1 day', '3640 days'),
            (5, '1w', '1d', interval '7 days', '3640 days')
        ) AS rollups (number, name, source, step, chunk)
        ORDER BY number
    LOOP
        EXECUTE format($view$
            CREATE MATERIALIZED VIEW %I WITH (
                timescaledb.continuous,
                timescaledb.materialized_only = true,
                timescaledb.create_group_indexes = false,
                timescaledb.chunk_interval = %L
            ) AS
            SELECT
                exchange,
                symbol,
                time_bucket(%L::interval, "time") AS "time",
                first(open, "time") AS open,
                max(high) AS high,
                min(low) AS low,
                last(close, "time") AS close,
                sum(exact_volume)::double precision AS volume,
                sum(candles)::bigint AS candles,
                sum(exact_volume) AS exact_volume
            FROM %I
            GROUP BY 1, 2, 3
            WITH NO DATA
        $view$, 'rollup_' || rollup.name, rollup.chunk, rollup.step, 'rollup_' || rollup.source);
    END LOOP;

    FOR rollup IN
        SELECT name, 'rollup_' || name AS kept, 'ohlcv_' || name AS face
        FROM unnest(ARRAY['5m', '15m', '1h', '4h', '1d', '1w']) AS rollups (name)
    LOOP
        EXECUTE format('CREATE INDEX ON %I (exchange, symbol, "time")', rollup.kept);
        EXECUTE format($view$
            CREATE OR REPLACE VIEW %I AS
            SELECT exchange, symbol, "time", open, high, low, close, volume, candles
            FROM %I
        $view$, rollup.face, rollup.kept);
        EXECUTE format(
            'COMMENT ON VIEW %I IS %L',
            rollup.kept,
            format('What the view %s shows, and the volume as it adds up. Read that instead.', rollup.face)
        );
        FOR "column" IN
            SELECT attname AS name, col_description(attrelid, attnum) AS words
            FROM pg_attribute
            WHERE attrelid = rollup.face::regclass AND attnum > 0
        LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', rollup.kept, "column".name, "column".words);
        END LOOP;
        EXECUTE format(
            'COMMENT ON COLUMN %I.exact_volume IS %L',
            rollup.kept,
            'The sum that volume is rounded from: what the next rollup adds up.'
        );
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'titan10_reader') THEN
            EXECUTE format('GRANT SELECT ON %I TO titan10_reader', rollup.kept);
        END IF;
    END LOOP;

    -- All rollups take 13 bytes a minute then, instead of 52, and refreshing an old day of 100 series 1.5 s instead of
    -- 0.9. The long ones are too few to matter.
    FOR rollup IN
        SELECT 'rollup_' || name AS kept FROM unnest(ARRAY['5m', '15m', '1h']) AS rollups (name)
    LOOP
        EXECUTE format($compress$
            ALTER MATERIALIZED VIEW %I SET (
                timescaledb.compress,
                timescaledb.compress_segmentby = 'exchange, symbol',
                timescaledb.compress_orderby = '"time"'
            )
        $compress$, rollup.kept);
    END LOOP;
    -- Not at once, but from tomorrow on.
    PERFORM add_job('compress_rollups', interval '1 day', initial_start => now() + interval '1 day');
END
$$;
