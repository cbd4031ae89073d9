-- A row makes its chunk, and nobody ever sees the row. The instant is a constant, so that the DELETE looks at no other
-- chunk: it would wait for whoever compresses one.
INSERT INTO candles (
    exchange, symbol, timeframe, "time", open, high, low, close, volume, price_scale, volume_scale
)
VALUES ('titan10', 'chunk', '1d', %(instant)s, 1, 1, 1, 1, 0, 1, 1);

DELETE FROM candles
WHERE exchange = 'titan10' AND symbol = 'chunk' AND timeframe = '1d' AND "time" = %(instant)s
