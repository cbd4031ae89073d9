-- Deletes the ledger rows, gaps, silences and source stretches before a UTC day. In the table series, the series that
-- end before this day are deleted, and the series that continue get a new first candle. Returns the number of deleted
-- ledger rows.
WITH forgotten AS (
    DELETE FROM slice_ledger WHERE day < %(day)s RETURNING 1
),
gone AS (
    DELETE FROM gaps WHERE gap_start < %(instant)s
),
unproven AS (
    DELETE FROM silences WHERE silence_end <= %(instant)s
),
without_source AS (
    DELETE FROM source_stretches WHERE stretch_end <= %(instant)s
),
cut AS (
    UPDATE source_stretches
    SET stretch_start = %(instant)s
    WHERE stretch_start < %(instant)s AND stretch_end > %(instant)s
),
ended AS (
    DELETE FROM series WHERE last_candle < %(instant)s
),
shortened AS (
    UPDATE series
    SET first_candle = (
        SELECT min(candles."time")
        FROM candles
        WHERE candles.exchange = series.exchange
            AND candles.symbol = series.symbol
            AND candles.timeframe = series.timeframe
            AND candles."time" >= %(instant)s
    )
    WHERE first_candle < %(instant)s AND last_candle >= %(instant)s
)
SELECT count(*) AS slices FROM forgotten
