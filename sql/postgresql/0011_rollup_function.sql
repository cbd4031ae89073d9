-- depends: 0002_rollups 0010_gap_reasons
-- One function that makes a rollup. To add one: a row in ROLLUPS (store/rollups.py), and in a new migration
--     SELECT create_rollup('30m', interval '30 minutes', '15m', '30 minutes');

CREATE TABLE rollups (
    name text PRIMARY KEY,
    step interval NOT NULL,
    source text NOT NULL,
    words text NOT NULL
);

COMMENT ON TABLE rollups IS 'The candles that are made of the 1m candles: the views ohlcv_5m to ohlcv_1w, one row each.';
COMMENT ON COLUMN rollups.name IS 'Length of the candle in ccxt''s words; the view is called ohlcv_<name>.';
COMMENT ON COLUMN rollups.step IS 'Length of the candle. Steps are minutes and hours: a day has 23 or 25 hours in some time zones.';
COMMENT ON COLUMN rollups.source IS 'The candles that TimescaleDB makes it from: 1m, or another rollup whose step divides this one.';
COMMENT ON COLUMN rollups.words IS 'The length in words, for comments.';

INSERT INTO rollups (name, step, source, words)
VALUES
    ('5m', interval '5 minutes', '1m', '5 minutes'),
    ('15m', interval '15 minutes', '5m', '15 minutes'),
    ('1h', interval '1 hour', '15m', 'one hour'),
    ('4h', interval '4 hours', '1h', '4 hours'),
    ('1d', interval '24 hours', '4h', 'one UTC day'),
    ('1w', interval '168 hours', '1d', 'one ISO week, from Monday (UTC)');

-- The view that computes from the minutes. See 0002_rollups for why it is written like this.
CREATE FUNCTION create_rollup_view(rollup rollups) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    view name := 'ohlcv_' || rollup.name;
    "column" record;
BEGIN
    EXECUTE format($view$
        CREATE VIEW %I AS
        SELECT
            series.exchange,
            series.symbol,
            buckets."time",
            bars.open,
            bars.high,
            bars.low,
            bars.close,
            bars.volume,
            bars.candles
        FROM series
        CROSS JOIN LATERAL (
            SELECT generate_series(
                date_bin(%2$L, series.first_candle, timestamptz '2000-01-03 00:00:00+00'),
                series.last_candle,
                %2$L::interval
            ) AS "time"
        ) AS buckets
        CROSS JOIN LATERAL (
            SELECT
                (array_agg(minutes.open / minutes.price_scale ORDER BY minutes."time"))[1] AS open,
                max(minutes.high / minutes.price_scale) AS high,
                min(minutes.low / minutes.price_scale) AS low,
                (array_agg(minutes.close / minutes.price_scale ORDER BY minutes."time" DESC))[1] AS close,
                sum(exact_decimal(minutes.volume, minutes.volume_scale))::double precision AS volume,
                count(*) AS candles
            FROM candles AS minutes
            WHERE minutes.exchange = series.exchange
                AND minutes.symbol = series.symbol
                AND minutes.timeframe = '1m'
                AND minutes."time" >= buckets."time"
                AND minutes."time" < buckets."time" + %2$L::interval
            HAVING count(*) > 0
        ) AS bars
        WHERE series.timeframe = '1m'
    $view$, view, rollup.step);
    EXECUTE format(
        'COMMENT ON VIEW %I IS %L',
        view,
        format('Candles of %s, made of the 1m candles that are stored; one without any is absent.', rollup.words)
    );
    FOR "column" IN
        SELECT attname AS name, col_description(attrelid, attnum) AS words
        FROM pg_attribute
        WHERE attrelid = 'ohlcv_5m'::regclass AND attnum > 0
    LOOP
        EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', view, "column".name, "column".words);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'titan10_reader') THEN
        EXECUTE format('GRANT SELECT ON %I TO titan10_reader', view);
    END IF;
END
$$;

-- With TimescaleDB: the continuous aggregate behind the view, made from that of rollup.source. See
-- timescaledb/0002_continuous_aggregates for why it is written like this.
CREATE FUNCTION create_rollup_aggregate(rollup rollups) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    kept name := 'rollup_' || rollup.name;
    face name := 'ohlcv_' || rollup.name;
    "column" record;
BEGIN
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
    $view$, kept, rollup_chunk(rollup.step), rollup.step, 'rollup_' || rollup.source);
    EXECUTE format('CREATE INDEX ON %I (exchange, symbol, "time")', kept);
    EXECUTE format($view$
        CREATE OR REPLACE VIEW %I AS
        SELECT exchange, symbol, "time", open, high, low, close, volume, candles
        FROM %I
    $view$, face, kept);
    EXECUTE format(
        'COMMENT ON VIEW %I IS %L',
        kept,
        format('What the view %s shows, and the volume as it adds up. Read that instead.', face)
    );
    FOR "column" IN
        SELECT attname AS name, col_description(attrelid, attnum) AS words
        FROM pg_attribute
        WHERE attrelid = 'rollup_5m'::regclass AND attnum > 0
    LOOP
        EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', kept, "column".name, "column".words);
    END LOOP;
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'titan10_reader') THEN
        EXECUTE format('GRANT SELECT ON %I TO titan10_reader', kept);
    END IF;
    -- The long ones are too few rows to be worth compressing.
    IF rollup.step <= interval '1 hour' THEN
        EXECUTE format($compress$
            ALTER MATERIALIZED VIEW %I SET (
                timescaledb.enable_columnstore = true,
                timescaledb.segmentby = 'exchange, symbol',
                timescaledb.orderby = '"time"'
            )
        $compress$, kept);
    END IF;
END
$$;

-- Chunks with about as many rows as the seven days of minutes have, at most ten years long.
CREATE FUNCTION rollup_chunk(step interval) RETURNS interval
LANGUAGE sql IMMUTABLE
RETURN CASE
    WHEN step < interval '1 hour' THEN interval '70 days'
    WHEN step < interval '24 hours' THEN interval '364 days'
    ELSE interval '3640 days'
END;

CREATE FUNCTION create_rollup(name text, step interval, source text, words text) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    rollup rollups;
BEGIN
    IF NOT EXISTS (
        SELECT
        FROM rollups AS base
        WHERE base.name = create_rollup.source
            AND create_rollup.step > base.step
            AND extract(epoch FROM create_rollup.step)::bigint % extract(epoch FROM base.step)::bigint = 0
    ) THEN
        RAISE EXCEPTION 'rollup % cannot be made from %: name a rollup whose step divides %', name, source, step;
    END IF;
    INSERT INTO rollups VALUES (name, step, source, words) RETURNING * INTO rollup;
    PERFORM create_rollup_view(rollup);
    IF to_regclass('rollup_' || source) IS NOT NULL THEN
        PERFORM create_rollup_aggregate(rollup);
    END IF;
END
$$;

COMMENT ON FUNCTION rollup_chunk(interval) IS 'How long the chunks of a rollup are, with TimescaleDB.';
COMMENT ON FUNCTION create_rollup_view(rollups) IS 'Makes the view of a rollup, which computes from the minutes.';
COMMENT ON FUNCTION create_rollup_aggregate(rollups) IS 'Makes the continuous aggregate of a rollup, behind its view.';
COMMENT ON FUNCTION create_rollup(text, interval, text, text) IS
    'Adds a rollup: create_rollup(''30m'', interval ''30 minutes'', ''15m'', ''30 minutes'').';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'titan10_reader') THEN
        GRANT SELECT ON rollups TO titan10_reader;
    END IF;
END
$$;
