-- depends: 0001_tables
-- Longer candles made of the minutes: the views ohlcv_5m, ohlcv_15m, ohlcv_1h, ohlcv_4h, ohlcv_1d and ohlcv_1w.
-- Here they compute from the minutes whenever they are read. With TimescaleDB the same views, replaced and not dropped
-- (so that what others built on them stays), read continuous aggregates: see timescaledb/0002_continuous_aggregates.

-- What the exchange wrote, as a decimal: that is how volumes add up without an error. A literal for each power of ten,
-- because the cast of a double to numeric keeps 15 digits only, and costs more than the sum itself. The rest are powers
-- of two (see store/scaling.py), exact to 300 decimals.
CREATE FUNCTION exact_decimal(scaled bigint, scale double precision) RETURNS numeric
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE scale
    WHEN 1e0 THEN scaled::numeric
    WHEN 1e1 THEN scaled * 1e-1
    WHEN 1e2 THEN scaled * 1e-2
    WHEN 1e3 THEN scaled * 1e-3
    WHEN 1e4 THEN scaled * 1e-4
    WHEN 1e5 THEN scaled * 1e-5
    WHEN 1e6 THEN scaled * 1e-6
    WHEN 1e7 THEN scaled * 1e-7
    WHEN 1e8 THEN scaled * 1e-8
    WHEN 1e9 THEN scaled * 1e-9
    WHEN 1e10 THEN scaled * 1e-10
    WHEN 1e11 THEN scaled * 1e-11
    WHEN 1e12 THEN scaled * 1e-12
    WHEN 1e13 THEN scaled * 1e-13
    WHEN 1e14 THEN scaled * 1e-14
    WHEN 1e15 THEN scaled * 1e-15
    WHEN 1e16 THEN scaled * 1e-16
    WHEN 1e17 THEN scaled * 1e-17
    WHEN 1e18 THEN scaled * 1e-18
    WHEN 1e19 THEN scaled * 1e-19
    WHEN 1e20 THEN scaled * 1e-20
    WHEN 1e21 THEN scaled * 1e-21
    WHEN 1e22 THEN scaled * 1e-22
    ELSE trim_scale(scaled * power(0.5::numeric(400, 300), round(ln(scale) / ln(2::double precision))::numeric))
END;

COMMENT ON FUNCTION exact_decimal(bigint, double precision) IS
    'A scaled integer of the table candles as the decimal it stands for: 12345 at scale 100 is 123.45.';

-- From the list of series to their buckets to the minutes of each: that way the bounds of a query go straight to the
-- few minutes they need, where grouping by the bucket would read a series, or everything, whole. A day of 5m of a
-- series of five years takes 25 ms (110 if generate_series stood in FROM, which stores its rows first), and without
-- bounds about 2 microseconds a minute. Weeks are ISO's: the origin is a Monday. Steps are hours, for a day of
-- generate_series has 23 or 25 of them in some sessions' time zones.
DO $$
DECLARE
    rollup record;
    "column" record;
BEGIN
    FOR rollup IN
        SELECT *
        FROM (VALUES
            ('ohlcv_5m', interval '5 minutes', '5 minutes'),
            ('ohlcv_15m', interval '15 minutes', '15 minutes'),
            ('ohlcv_1h', interval '1 hour', 'one hour'),
            ('ohlcv_4h', interval '4 hours', '4 hours'),
            ('ohlcv_1d', interval '24 hours', 'one UTC day'),
            ('ohlcv_1w', interval '168 hours', 'one ISO week, from Monday (UTC)')
        ) AS rollups (name, step, words)
    LOOP
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
        $view$, rollup.name, rollup.step);
        EXECUTE format(
            'COMMENT ON VIEW %I IS %L',
            rollup.name,
            format('Candles of %s, made of the 1m candles that are stored; one without any is absent.', rollup.words)
        );
        FOR "column" IN
            SELECT *
            FROM (VALUES
                ('exchange', 'ccxt''s id of the exchange: binance, kraken.'),
                ('symbol', 'ccxt''s unified symbol: BTC/USDT.'),
                ('time', 'Start of the candle (UTC).'),
                ('open', 'Open of its first minute, in the quote currency.'),
                ('high', 'Highest price, in the quote currency.'),
                ('low', 'Lowest price, in the quote currency.'),
                ('close', 'Close of its last minute, in the quote currency.'),
                ('volume', 'Volume in the base currency: the exact sum, rounded once.'),
                ('candles', 'How many minutes went into it: fewer than it has room for means holes.')
            ) AS columns (name, words)
        LOOP
            EXECUTE format('COMMENT ON COLUMN %I.%I IS %L', rollup.name, "column".name, "column".words);
        END LOOP;
        IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'titan10_reader') THEN
            EXECUTE format('GRANT SELECT ON %I TO titan10_reader', rollup.name);
        END IF;
    END LOOP;
END
$$;
