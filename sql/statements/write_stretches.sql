INSERT INTO source_stretches (exchange, symbol, timeframe, stretch_start, stretch_end, file_id) VALUES %s
