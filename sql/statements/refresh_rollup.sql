-- With the option buckets_per_batch = 0, the refresh runs in one batch. By default, TimescaleDB 2.29 splits a refresh
-- into batches. The refresh of 30 days of 20 series then takes 21.8 s instead of 6.4 s.
CALL refresh_continuous_aggregate(
    %(rollup)s, %(start)s::timestamptz, %(end)s::timestamptz, options => '{"buckets_per_batch": 0}'
)
