-- Adds a mark for each day and timeframe for which slices of the exchange were written. Each write adds its own marks.
-- Therefore, after the marked days were classified, a process can remove exactly the marks that it has read before.
INSERT INTO outage_evidence (exchange, timeframe, day)
SELECT %(exchange)s, marks.timeframe, marks.day
FROM unnest(%(timeframes)s::text[], %(days)s::date[]) AS marks (timeframe, day)
