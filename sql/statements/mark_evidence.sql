-- A mark for each day of which an exchange's slices were written: a new one every time, so that whoever has weighed
-- the older ones can take exactly these away.
INSERT INTO outage_evidence (exchange, timeframe, day)
SELECT %(exchange)s, marks.timeframe, marks.day
FROM unnest(%(timeframes)s::text[], %(days)s::date[]) AS marks (timeframe, day)
