INSERT INTO series_events AS known (exchange, symbol, timeframe, kind, detail, at, first_seen, last_seen)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (exchange, symbol, timeframe, kind, detail) DO UPDATE SET
    last_seen = greatest(known.last_seen, excluded.last_seen)
