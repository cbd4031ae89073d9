-- Compares the closes of one exchange with the median close of all exchanges on one UTC day, for each given symbol.
-- `compared`: the number of compared minutes; only one minute in :every is compared. `deviating`: the number of minutes
-- with a distance above :limit. `typical` and `largest`: the median distance and the largest distance.
-- Distances and the limit are in basis points.
WITH markets AS (
    SELECT
        exchange,
        symbol,
        count(*) OVER same AS others,
        bool_or(exchange = %(exchange)s) OVER same AS concerned
    FROM series
    WHERE symbol = ANY(%(symbols)s)
        AND timeframe = '1m'
        AND first_candle < %(end)s
        AND last_candle >= %(start)s
        -- A symbol with a colon is a derivative. Its price is not comparable with spot prices.
        AND strpos(symbol, ':') = 0
    WINDOW same AS (PARTITION BY symbol)
),
minutes AS (
    SELECT
        markets.symbol,
        stored."time",
        max(stored.close) FILTER (WHERE markets.exchange = %(exchange)s) AS own,
        percentile_cont(0.5) WITHIN GROUP (ORDER BY stored.close) AS median
    FROM markets
    CROSS JOIN LATERAL (
        SELECT ohlcv."time", ohlcv.close
        FROM ohlcv
        WHERE ohlcv.exchange = markets.exchange
            AND ohlcv.symbol = markets.symbol
            AND ohlcv.timeframe = '1m'
            AND ohlcv."time" >= %(start)s
            AND ohlcv."time" < %(end)s
            -- A candle without volume repeats an old price, so it is not compared.
            AND ohlcv.volume > 0
            AND extract(MINUTE FROM ohlcv."time")::integer %% %(every)s = 0
        -- OFFSET 0 makes the planner read market by market through the key. Without OFFSET 0 the planner expects few
        -- markets, and reads the day of all markets once for each market (20 s instead of 0.5 s).
        OFFSET 0
    ) AS stored
    WHERE markets.others >= %(fewest)s AND markets.concerned
    GROUP BY markets.symbol, stored."time"
    HAVING count(*) >= %(fewest)s AND bool_or(markets.exchange = %(exchange)s)
),
distances AS (
    SELECT symbol, 10000 * abs(own - median) / median AS distance
    FROM minutes
)
SELECT
    symbol,
    count(*) AS compared,
    count(*) FILTER (WHERE distance > %(limit)s) AS deviating,
    percentile_cont(0.5) WITHIN GROUP (ORDER BY distance) AS typical,
    max(distance) AS largest
FROM distances
GROUP BY symbol
ORDER BY symbol
