-- The newest measured value of each property of an exchange, from all of its probes.
SELECT DISTINCT ON (value.key) value.key AS property, value.value AS measured
FROM exchange_probes, jsonb_each_text(measured) AS value
WHERE exchange = %(exchange)s
ORDER BY value.key, probed_at DESC
