-- Adds a mark for each day and timeframe for which slices of the exchange were written. Each write adds its own marks.
-- Therefore a process can later remove exactly the marks that it has read.
INSERT INTO outage_evidence (exchange, timeframe, day)
SELECT %(exchange)s, marks.timeframe, marks.day
FROM unnest(%(timeframes)s::text[], %(days)s::date[]) AS marks (timeframe, day)
