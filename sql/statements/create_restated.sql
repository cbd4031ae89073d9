-- A temporary table for candles that are stored with other values.
CREATE TEMPORARY TABLE IF NOT EXISTS restated (LIKE candles) ON COMMIT DROP;
TRUNCATE restated
