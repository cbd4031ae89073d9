-- A mark for each day of which an exchange's slices were written. Each write adds its own marks. A process that has
-- classified older marks can therefore remove exactly these.
INSERT INTO outage_evidence (exchange, timeframe, day)
SELECT %(exchange)s, marks.timeframe, marks.day
FROM unnest(%(timeframes)s::text[], %(days)s::date[]) AS marks (timeframe, day)
