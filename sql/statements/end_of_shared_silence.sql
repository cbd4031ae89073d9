-- The given slices have a delisting date. If this date is within a shared silence of the exchange (several series have
-- no candles at the same time), the result has the end of this silence.
-- The silence counts only if another series was silent too and has a candle after the silence. Otherwise several
-- markets were possibly delisted at the same time. If the silence ended at different times for the other series, the
-- earliest of these times is used.
-- All slices belong to one exchange.
-- `number`: position of the slice in the parameters, from 1.
SELECT slices.number, min(silence.silence_end) AS silence_end
FROM unnest(
    %(symbols)s::text[], %(timeframes)s::text[], %(delisted)s::timestamptz[]
) WITH ORDINALITY AS slices (symbol, timeframe, delisted, number)
JOIN silences AS silence
    ON silence.exchange = %(exchange)s
    AND silence.symbol <> slices.symbol
    AND silence.timeframe = slices.timeframe
    AND silence.silent_series > 1
    AND silence.silence_start <= slices.delisted
    AND silence.silence_end > slices.delisted
JOIN series
    ON series.exchange = silence.exchange
    AND series.symbol = silence.symbol
    AND series.timeframe = silence.timeframe
    AND series.last_candle >= silence.silence_end
GROUP BY slices.number
