-- depends: 0004_alerts
-- Which alerts a human has to hear of: where nobody is named to be told, `told` does not say.

ALTER TABLE alerts ADD COLUMN due boolean NOT NULL DEFAULT false;

UPDATE alerts SET due = told <> '{}';

COMMENT ON COLUMN alerts.due IS 'Whether it has lasted so long that a human has to hear of it; until then it may pass.';
COMMENT ON COLUMN alerts.told IS 'Digests of the addresses that were told.';
