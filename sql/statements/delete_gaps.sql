DELETE FROM gaps
USING (VALUES %s) AS slices (exchange, symbol, timeframe, starts, ends)
WHERE gaps.exchange = slices.exchange
    AND gaps.symbol = slices.symbol
    AND gaps.timeframe = slices.timeframe
    AND gaps.gap_start >= slices.starts
    AND gaps.gap_start < slices.ends
