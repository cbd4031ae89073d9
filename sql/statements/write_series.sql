INSERT INTO series AS known (exchange, symbol, timeframe, first_candle, last_candle, market_id)
SELECT written.exchange, written.symbol, written.timeframe, min(written.first), max(written.last), min(market_id)
FROM (VALUES %s) AS written (exchange, symbol, timeframe, first, last)
LEFT JOIN markets USING (exchange, symbol)
GROUP BY written.exchange, written.symbol, written.timeframe
ON CONFLICT (exchange, symbol, timeframe) DO UPDATE SET
    first_candle = least(known.first_candle, excluded.first_candle),
    last_candle = greatest(known.last_candle, excluded.last_candle)
WHERE excluded.first_candle < known.first_candle OR excluded.last_candle > known.last_candle
