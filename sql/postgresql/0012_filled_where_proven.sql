-- depends: 0005_filled 0010_gap_reasons
-- By default only candles without trades are filled in. Nothing is ever made up for a halt or a time without a listing:
-- there the close is not carried on.

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
    carried AS (
        SELECT
            stretches.*,
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
    WHERE carried."time" >= $4 AND carried."time" = carried.reached
    ORDER BY carried."time"
$$;

COMMENT ON FUNCTION ohlcv_filled(text, text, text, timestamptz, timestamptz, text[]) IS
    'The stored candles of [starts, ends), and one with the last close and no volume for each that is missing for one '
    'of the reasons: marked "synthetic", with its reason. By default only no_trades. Candles that are missing for another '
    'reason are left out as in ohlcv, and no close is carried across them. Never filled: what lies before the listing, '
    'after the delisting, in a halt or in a time without a listing, and what was never fetched. '
    'SELECT * FROM ohlcv_filled(''binance'', ''BTC/USDT'', ''1m'', ''2024-03-01Z'', ''2024-04-01Z'').';
