-- depends: 0002_rollups
-- What the exchanges together say of a minute.

-- From the list of series, whose symbols tell base and quote, to the minutes of each: bounds on base and time, which
-- are grouped by, reach the list and the key of the candles. Always give both: a day of one base on 5 exchanges takes
-- 10 ms (8 ms compressed), of all 20 bases of 5 exchanges 0.2 to 0.7 s, and without bounds everything is read.
CREATE VIEW consensus AS
SELECT
    listed.base,
    listed.quote,
    minutes."time",
    sum(minutes.close * minutes.volume) / sum(minutes.volume) AS weighted_close,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY minutes.close) AS median_close,
    sum(minutes.volume) AS volume,
    count(DISTINCT minutes.exchange) AS exchanges,
    (max(minutes.close) - min(minutes.close)) * 10000
        / percentile_cont(0.5) WITHIN GROUP (ORDER BY minutes.close) AS spread_bp
FROM (
    SELECT
        series.exchange,
        series.symbol,
        split_part(series.symbol, '/', 1) AS base,
        quotes.quote
    FROM series
    -- Each series under its own quote, and the USD-like ones once more together.
    CROSS JOIN LATERAL (
        VALUES
            (split_part(series.symbol, '/', 2)),
            (CASE WHEN split_part(series.symbol, '/', 2) IN ('USD', 'USDT', 'USDC') THEN 'USD*' END)
    ) AS quotes (quote)
    -- A colon: a derivative, whose price is another one.
    WHERE series.timeframe = '1m' AND quotes.quote IS NOT NULL AND series.symbol NOT LIKE '%:%'
) AS listed
JOIN ohlcv AS minutes
    ON minutes.exchange = listed.exchange
    AND minutes.symbol = listed.symbol
    AND minutes.timeframe = '1m'
    AND minutes.volume > 0
GROUP BY listed.base, listed.quote, minutes."time";

COMMENT ON VIEW consensus IS
    'A minute of a base currency over all markets that traded in it. Give bounds on "time" and base, best on quote too: '
    'SELECT * FROM consensus WHERE "time" >= ''2024-01-10Z'' AND "time" < ''2024-01-11Z'' AND base = ''BTC'' '
    'AND quote = ''USD*''. Without bounds it reads every minute there is.';
COMMENT ON COLUMN consensus.base IS 'Currency that is traded: BTC.';
COMMENT ON COLUMN consensus.quote IS
    'Currency of the price: USDT, EUR; or USD*, which is USD, USDT and USDC taken as one (their rows are there as well).';
COMMENT ON COLUMN consensus."time" IS 'Start of the minute (UTC).';
COMMENT ON COLUMN consensus.weighted_close IS 'Mean of the closes, weighted by volume.';
COMMENT ON COLUMN consensus.median_close IS
    'Median of the closes, each market one voice; of an even number the mean of the middle two.';
COMMENT ON COLUMN consensus.volume IS 'Volume of all of them, in the base currency.';
COMMENT ON COLUMN consensus.exchanges IS
    'How many exchanges traded. One that trades BTC/USD and BTC/USDT counts once, though both closes count.';
COMMENT ON COLUMN consensus.spread_bp IS 'Highest close less the lowest, in basis points of the median.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'titan10_reader') THEN
        GRANT SELECT ON consensus TO titan10_reader;
    END IF;
END
$$;
