INSERT INTO exchange_probes (exchange, probed_at, requests, measured, expected)
VALUES (%(exchange)s, %(probed_at)s, %(requests)s, %(measured)s, %(expected)s)
ON CONFLICT (exchange, probed_at) DO NOTHING
