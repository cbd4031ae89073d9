-- Creates a temporary table for received candles that are already stored with different values.
-- If the table exists already, it is emptied, because an earlier batch of the same transaction has filled it.
CREATE TEMPORARY TABLE IF NOT EXISTS restated (LIKE candles) ON COMMIT DROP;
TRUNCATE restated
