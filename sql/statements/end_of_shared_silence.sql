-- For each given slice with a delisting date within a shared silence of the exchange: the end of this silence.
-- The silence counts only if another series was silent too and has traded since. Otherwise several markets were possibly
-- delisted at the same time. If the other series resumed at different times, the earliest of these times counts.
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
