-- The candles of a series with the values that they had at the instant :as_of. If a candle was restated after :as_of,
-- these are the old values in the first restatement after :as_of.
COPY (
    SELECT
        "time",
        coalesce(later.old_open, stored.open),
        coalesce(later.old_high, stored.high),
        coalesce(later.old_low, stored.low),
        coalesce(later.old_close, stored.close),
        coalesce(later.old_volume, stored.volume)
    FROM ohlcv AS stored
    LEFT JOIN (
        SELECT DISTINCT ON ("time") "time", old_open, old_high, old_low, old_close, old_volume
        FROM restatements
        WHERE exchange = %(exchange)s
            AND symbol = %(symbol)s
            AND timeframe = %(timeframe)s
            AND "time" >= %(start)s
            AND "time" < %(end)s
            AND seen_at > %(as_of)s
        ORDER BY "time", id
    ) AS later USING ("time")
    WHERE stored.exchange = %(exchange)s
        AND stored.symbol = %(symbol)s
        AND stored.timeframe = %(timeframe)s
        AND "time" >= %(start)s
        AND "time" < %(end)s
    ORDER BY "time"
) TO STDOUT (FORMAT binary)
