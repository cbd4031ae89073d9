CALL refresh_continuous_aggregate(%(rollup)s, %(start)s::timestamptz, %(end)s::timestamptz)
