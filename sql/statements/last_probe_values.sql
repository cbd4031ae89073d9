-- For each property of an exchange: the value from the newest probe that measured this property.
SELECT DISTINCT ON (value.key) value.key AS property, value.value AS measured
FROM exchange_probes, jsonb_each_text(measured) AS value
WHERE exchange = %(exchange)s
ORDER BY value.key, probed_at DESC
