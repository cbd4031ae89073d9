SELECT chunk_schema, chunk_name
FROM timescaledb_information.chunks
WHERE hypertable_schema = current_schema()
    AND hypertable_name = 'candles'
    AND range_start < %(last)s
    AND range_end > %(first)s
ORDER BY range_start
