-- depends: 0009_delisted 0011_rollup_function 0012_filled_where_proven
-- What a series is made of: the markets behind it, its breaks, and the events that concern it.

CREATE TABLE series_identities (
    exchange text NOT NULL,
    symbol text NOT NULL,
    seen_at timestamptz NOT NULL,
    valid_from timestamptz,
    market_id text NOT NULL,
    base_id text NOT NULL,
    quote_id text NOT NULL,
    scales jsonb NOT NULL DEFAULT '{}',
    PRIMARY KEY (exchange, symbol, seen_at)
);

COMMENT ON TABLE series_identities IS 'The markets behind each stored series, one after the other.';
COMMENT ON COLUMN series_identities.exchange IS 'ccxt''s id of the exchange.';
COMMENT ON COLUMN series_identities.symbol IS 'ccxt''s unified symbol.';
COMMENT ON COLUMN series_identities.seen_at IS 'When the market list first showed this market under the symbol.';
COMMENT ON COLUMN series_identities.valid_from IS
    'The series'' candles come from this market from here on. NULL: from the start of the series.';
COMMENT ON COLUMN series_identities.market_id IS 'The exchange''s own name of the market.';
COMMENT ON COLUMN series_identities.base_id IS 'The exchange''s own name of the base asset.';
COMMENT ON COLUMN series_identities.quote_id IS 'The exchange''s own name of the quote asset.';
COMMENT ON COLUMN series_identities.scales IS 'Contract size and price scales, if the exchange states them.';

INSERT INTO series_identities (exchange, symbol, seen_at, market_id, base_id, quote_id, scales)
SELECT
    markets.exchange,
    markets.symbol,
    markets.first_seen,
    markets.market_id,
    markets.base_id,
    markets.quote_id,
    jsonb_strip_nulls(jsonb_build_object(
        'contractSize', markets.extra -> 'contractSize',
        'priceScale', markets.extra -> 'priceScale',
        'valueScale', markets.extra -> 'valueScale'
    ))
FROM markets
WHERE EXISTS (
    SELECT FROM series WHERE series.exchange = markets.exchange AND series.symbol = markets.symbol
);

CREATE TABLE series_breaks (
    exchange text NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    at timestamptz NOT NULL,
    kind text NOT NULL,
    price_factor double precision,
    volume_factor double precision,
    found_at timestamptz NOT NULL,
    PRIMARY KEY (exchange, symbol, timeframe, at)
);

COMMENT ON TABLE series_breaks IS
    'Instants at which a series changes its unit or its market. No rollup, filled candle or export bridges one.';
COMMENT ON COLUMN series_breaks.exchange IS 'ccxt''s id of the exchange.';
COMMENT ON COLUMN series_breaks.symbol IS 'ccxt''s unified symbol.';
COMMENT ON COLUMN series_breaks.timeframe IS 'Length of a candle.';
COMMENT ON COLUMN series_breaks.at IS 'Start of the first candle after the break.';
COMMENT ON COLUMN series_breaks.kind IS 'redenomination, price_jump (both found in the candles) or market.';
COMMENT ON COLUMN series_breaks.price_factor IS 'Price after the break divided by the price before it, where known.';
COMMENT ON COLUMN series_breaks.volume_factor IS 'Typical volume after the break divided by the one before it.';
COMMENT ON COLUMN series_breaks.found_at IS 'When the break was found.';

CREATE TABLE series_events (
    exchange text NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL DEFAULT '',
    kind text NOT NULL,
    detail text NOT NULL,
    at timestamptz,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    PRIMARY KEY (exchange, symbol, timeframe, kind, detail)
);

COMMENT ON TABLE series_events IS 'What happened to series: other markets, breaks, rewritten days, renames, deletions.';
COMMENT ON COLUMN series_events.exchange IS 'ccxt''s id of the exchange.';
COMMENT ON COLUMN series_events.symbol IS 'ccxt''s unified symbol.';
COMMENT ON COLUMN series_events.timeframe IS 'Length of a candle; empty if the event concerns all of them.';
COMMENT ON COLUMN series_events.kind IS
    'market_changed, market_ambiguous, break, mass_restatement, renamed or dropped.';
COMMENT ON COLUMN series_events.detail IS 'The event in a sentence, with the values before and after.';
COMMENT ON COLUMN series_events.at IS 'The time of the candles concerned, NULL if the event concerns none in particular.';
COMMENT ON COLUMN series_events.first_seen IS 'When it was first observed.';
COMMENT ON COLUMN series_events.last_seen IS 'When it was last observed.';

CREATE INDEX series_events_by_time ON series_events (exchange, last_seen);

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'titan10_reader') THEN
        GRANT SELECT ON series_identities, series_breaks, series_events TO titan10_reader;
    END IF;
END
$$;

-- No rollup bridges a break: a longer candle with minutes from both sides of one is left out of the views. Otherwise
-- the view is that of 0011_rollup_function.
CREATE OR REPLACE FUNCTION create_rollup_view(rollup rollups) RETURNS void
LANGUAGE plpgsql
AS $$
DECLARE
    view name := 'ohlcv_' || rollup.name;
    "column" record;
BEGIN
    EXECUTE format($view$
        CREATE OR REPLACE VIEW %I AS
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
            AND NOT EXISTS (
                SELECT FROM series_breaks AS breaks
                WHERE breaks.exchange = series.exchange
                    AND breaks.symbol = series.symbol
                    AND breaks.timeframe = '1m'
                    AND breaks.at > buckets."time"
                    AND breaks.at < buckets."time" + %2$L::interval
            )
    $view$, view, rollup.step);
    EXECUTE format(
        'COMMENT ON VIEW %I IS %L',
        view,
        format(
            'Candles of %s, made of the stored 1m candles. A candle without any, or with a break of the series inside, '
            'is absent.',
            rollup.words
        )
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

-- With TimescaleDB the view reads a continuous aggregate, which knows no breaks: the view leaves the candles out.
CREATE FUNCTION create_rollup_face(rollup rollups) RETURNS void
LANGUAGE plpgsql
AS $$
BEGIN
    EXECUTE format($view$
        CREATE OR REPLACE VIEW %I AS
        SELECT exchange, symbol, "time", open, high, low, close, volume, candles
        FROM %I AS kept
        WHERE NOT EXISTS (
            SELECT FROM series_breaks AS breaks
            WHERE breaks.exchange = kept.exchange
                AND breaks.symbol = kept.symbol
                AND breaks.timeframe = '1m'
                AND breaks.at > kept."time"
                AND breaks.at < kept."time" + %L::interval
        )
    $view$, 'ohlcv_' || rollup.name, 'rollup_' || rollup.name, rollup.step);
END
$$;

COMMENT ON FUNCTION create_rollup_face(rollups) IS
    'Makes the view of a rollup read its continuous aggregate, without the candles that would bridge a break.';

CREATE OR REPLACE FUNCTION create_rollup(name text, step interval, source text, words text) RETURNS void
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
        PERFORM create_rollup_face(rollup);
    END IF;
END
$$;

DO $$
DECLARE
    rollup rollups;
BEGIN
    FOR rollup IN SELECT * FROM rollups ORDER BY step LOOP
        IF to_regclass('rollup_' || rollup.name) IS NULL THEN
            PERFORM create_rollup_view(rollup);
        ELSE
            PERFORM create_rollup_face(rollup);
        END IF;
    END LOOP;
END
$$;

-- Nothing is filled in from the last candle before a break to the break: in which unit the market was quoted meanwhile is
-- not known. Otherwise the function is that of 0012_filled_where_proven.
CREATE OR REPLACE FUNCTION ohlcv_filled(
    exchange text,
    symbol text,
    timeframe text,
    starts timestamptz,
    ends timestamptz,
    reasons text[] DEFAULT ARRAY['no_trades']
)
RETURNS TABLE (
    "time" timestamptz,
    open double precision,
    high double precision,
    low double precision,
    close double precision,
    volume double precision,
    synthetic boolean,
    reason text
)
LANGUAGE sql STABLE PARALLEL SAFE
-- By number, because the columns have the same names.
AS $$
    WITH before AS (
        SELECT stored."time", stored.close
        FROM ohlcv AS stored
        WHERE stored.exchange = $1 AND stored.symbol = $2 AND stored.timeframe = $3 AND stored."time" < $4
        ORDER BY stored."time" DESC
        LIMIT 1
    ),
    marks AS (
        SELECT "time", NULL AS open, NULL AS high, NULL AS low, close, NULL AS volume, NULL AS reason
        FROM before
        UNION ALL
        SELECT stored."time", stored.open, stored.high, stored.low, stored.close, stored.volume, NULL
        FROM ohlcv AS stored
        WHERE stored.exchange = $1
            AND stored.symbol = $2
            AND stored.timeframe = $3
            AND stored."time" >= $4
            AND stored."time" < $5
        UNION ALL
        SELECT missing."time", NULL, NULL, NULL, NULL, NULL, gaps.reason
        FROM gaps
        CROSS JOIN LATERAL generate_series(
            gaps.gap_start, gaps.gap_end - timeframe_interval($3), timeframe_interval($3)
        ) AS missing ("time")
        WHERE gaps.exchange = $1
            AND gaps.symbol = $2
            AND gaps.timeframe = $3
            -- A gap never crosses midnight, so one that reaches into the stretch begins less than a day before it.
            AND gaps.gap_start > coalesce((SELECT before."time" FROM before), $4 - interval '24 hours')
            AND gaps.gap_start < $5
            AND gaps.reason = ANY($6)
            AND gaps.reason NOT IN ('pre_listing', 'delisted', 'halted', 'not_listed')
            AND missing."time" < $5
    ),
    stretches AS (
        SELECT marks.*, count(marks.close) OVER (ORDER BY marks."time") AS stretch
        FROM marks
    ),
    -- The last candle before each break. No close is carried on from it.
    broken AS (
        SELECT (
            SELECT stored."time"
            FROM ohlcv AS stored
            WHERE stored.exchange = $1
                AND stored.symbol = $2
                AND stored.timeframe = $3
                AND stored."time" < breaks.at
            ORDER BY stored."time" DESC
            LIMIT 1
        ) AS last_candle
        FROM series_breaks AS breaks
        WHERE breaks.exchange = $1 AND breaks.symbol = $2 AND breaks.timeframe = $3
    ),
    carried AS (
        SELECT
            stretches.*,
            first_value(stretches."time") OVER along AS carried_from,
            first_value(stretches.close) OVER along AS last_close,
            first_value(stretches."time") OVER along
                + (row_number() OVER along - 1) * timeframe_interval($3) AS reached
        FROM stretches
        WHERE stretches.stretch > 0
        WINDOW along AS (PARTITION BY stretches.stretch ORDER BY stretches."time")
    )
    SELECT
        carried."time",
        coalesce(carried.open, carried.last_close),
        coalesce(carried.high, carried.last_close),
        coalesce(carried.low, carried.last_close),
        carried.last_close,
        coalesce(carried.volume, 0),
        carried.reason IS NOT NULL,
        carried.reason
    FROM carried
    WHERE carried."time" >= $4
        AND carried."time" = carried.reached
        AND NOT (
            carried.reason IS NOT NULL
            AND EXISTS (SELECT FROM broken WHERE broken.last_candle = carried.carried_from)
        )
    ORDER BY carried."time"
$$;

COMMENT ON FUNCTION ohlcv_filled(text, text, text, timestamptz, timestamptz, text[]) IS
    'The stored candles of [starts, ends), and one with the last close and no volume for each that is missing for one '
    'of the reasons: marked "synthetic", with its reason. By default only no_trades. Candles that are missing for another '
    'reason are left out as in ohlcv, and no close is carried across them. Never filled: what lies before the listing, '
    'after the delisting, in a halt or in a time without a listing, and what was never fetched; nor is a close carried on '
    'to a break of the series (series_breaks). '
    'SELECT * FROM ohlcv_filled(''binance'', ''BTC/USDT'', ''1m'', ''2024-03-01Z'', ''2024-04-01Z'').';
