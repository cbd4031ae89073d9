-- depends: 0001_tables
-- The newest candle of every series, as fast after years as after a day.

-- A query of one's own for it (LATERAL .. ORDER BY "time" DESC LIMIT 1) is planned over all chunks that there are, and
-- with TimescaleDB that takes longer than all the rest: 4 ms with 14 chunks, ten times that with 260. The list of series
-- knows the week of each newest candle, and with the week as a constant the planner looks at one chunk.
CREATE FUNCTION latest_candles()
RETURNS TABLE (
    exchange text,
    symbol text,
    timeframe text,
    "time" timestamptz,
    open double precision,
    high double precision,
    low double precision,
    close double precision,
    volume double precision
)
LANGUAGE plpgsql STABLE ROWS 500
AS $$
DECLARE
    week timestamptz;
BEGIN
    FOR week IN
        SELECT DISTINCT date_bin(interval '7 days', series.last_candle, timestamptz '1970-01-01 00:00:00+00')
        FROM series
    LOOP
        RETURN QUERY EXECUTE format(
            $query$
            SELECT series.exchange, series.symbol, series.timeframe, newest.*
            FROM series
            CROSS JOIN LATERAL (
                SELECT stored."time", stored.open, stored.high, stored.low, stored.close, stored.volume
                FROM ohlcv AS stored
                WHERE stored.exchange = series.exchange
                    AND stored.symbol = series.symbol
                    AND stored.timeframe = series.timeframe
                    AND stored."time" >= %1$L
                    AND stored."time" < %2$L
                ORDER BY stored."time" DESC
                LIMIT 1
            ) AS newest
            WHERE series.last_candle >= %1$L AND series.last_candle < %2$L
            $query$,
            week,
            week + interval '168 hours'
        );
    END LOOP;
END
$$;

COMMENT ON FUNCTION latest_candles() IS 'What the view latest shows. Read that instead.';

CREATE VIEW latest AS
SELECT exchange, symbol, timeframe, "time", open, high, low, close, volume
FROM latest_candles();

COMMENT ON VIEW latest IS 'The newest stored candle of every series, as in ohlcv.';
COMMENT ON COLUMN latest.exchange IS 'ccxt''s id of the exchange: binance, kraken.';
COMMENT ON COLUMN latest.symbol IS 'ccxt''s unified symbol: BTC/USDT.';
COMMENT ON COLUMN latest.timeframe IS 'Length of the candle in ccxt''s words: 1m, 1h, 1d.';
COMMENT ON COLUMN latest."time" IS 'Start of the candle (UTC).';
COMMENT ON COLUMN latest.open IS 'First price, in the quote currency.';
COMMENT ON COLUMN latest.high IS 'Highest price, in the quote currency.';
COMMENT ON COLUMN latest.low IS 'Lowest price, in the quote currency.';
COMMENT ON COLUMN latest.close IS 'Last price, in the quote currency.';
COMMENT ON COLUMN latest.volume IS 'Volume, in the base currency.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'titan10_reader') THEN
        GRANT SELECT ON latest TO titan10_reader;
    END IF;
END
$$;
