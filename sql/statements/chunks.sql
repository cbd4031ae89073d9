-- The chunks of the table candles, in order of time.
SELECT
    chunks.range_start AS start,
    chunks.range_end AS "end",
    chunks.is_compressed AS compressed,
    -- In the status of a chunk, the bit with the value 8 means "partial". A function returns the status, because
    -- TimescaleDB 2.29 has removed the catalogue column chunk.status.
    _timescaledb_functions.chunk_status(
        format('%I.%I', chunks.chunk_schema, chunks.chunk_name)::regclass
    ) & 8 = 8 AS partial,
    sizes.total_bytes AS bytes,
    coalesce(stats.before_compression_total_bytes, sizes.total_bytes) AS bytes_before
FROM timescaledb_information.chunks AS chunks
JOIN chunks_detailed_size('candles') AS sizes USING (chunk_schema, chunk_name)
LEFT JOIN chunk_columnstore_stats('candles') AS stats USING (chunk_schema, chunk_name)
WHERE chunks.hypertable_schema = current_schema() AND chunks.hypertable_name = 'candles'
ORDER BY chunks.range_start
