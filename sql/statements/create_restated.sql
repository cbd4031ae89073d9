-- Candles that are stored with other values already, on their way into the table.
CREATE TEMPORARY TABLE IF NOT EXISTS restated (LIKE candles) ON COMMIT DROP;
TRUNCATE restated
