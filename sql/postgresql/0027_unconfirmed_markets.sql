-- depends: 0026_beyond_horizon
-- Changes of many markets in one list are believed only after a second list.

ALTER TABLE markets ADD COLUMN unconfirmed text, ADD COLUMN unconfirmed_since timestamptz;

COMMENT ON COLUMN markets.unconfirmed IS
    'What changed in the last list (missing, inactive, or the differences), if a second list must confirm it.';
COMMENT ON COLUMN markets.unconfirmed_since IS 'When a list showed this change first.';
