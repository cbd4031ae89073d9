-- The age at which candles are compressed, and the time at which the compression last succeeded.
-- There is always one row. Its values are NULL if there is no compression policy.
SELECT
    (jobs.config ->> 'compress_after')::interval AS compress_after,
    nullif(stats.last_successful_finish, '-infinity') AS compressed_at
FROM (VALUES (1)) AS always
LEFT JOIN timescaledb_information.jobs AS jobs
    ON jobs.proc_name = 'policy_compression'
    AND jobs.hypertable_schema = current_schema()
    AND jobs.hypertable_name = 'candles'
LEFT JOIN timescaledb_information.job_stats AS stats USING (job_id)
