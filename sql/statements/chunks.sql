-- The chunks of the candles, by time: start, end, compressed, partial, bytes now, bytes before compression.
SELECT
    chunks.range_start,
    chunks.range_end,
    chunks.is_compressed,
    coalesce(catalog.status & 8 = 8, false),
    sizes.total_bytes,
    coalesce(stats.before_compression_total_bytes, sizes.total_bytes)
FROM timescaledb_information.chunks AS chunks
JOIN chunks_detailed_size('candles') AS sizes USING (chunk_schema, chunk_name)
JOIN _timescaledb_catalog.chunk AS catalog
    ON catalog.schema_name = chunks.chunk_schema AND catalog.table_name = chunks.chunk_name
LEFT JOIN chunk_compression_stats('candles') AS stats USING (chunk_schema, chunk_name)
WHERE chunks.hypertable_schema = current_schema() AND chunks.hypertable_name = 'candles'
ORDER BY chunks.range_start
