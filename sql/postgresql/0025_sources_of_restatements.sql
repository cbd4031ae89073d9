-- depends: 0021_provenance 0022_later_checks
-- A restatement names the source of both values, and a file is known by when the archive last showed it.

ALTER TABLE restatements
    ADD COLUMN old_source text,
    ADD COLUMN old_file bigint REFERENCES source_files (id),
    ADD COLUMN new_file bigint REFERENCES source_files (id);

COMMENT ON COLUMN restatements.source IS 'Where the new values came from: rest, archive or import.';
COMMENT ON COLUMN restatements.old_source IS
    'Where the old values came from: rest, archive or import; NULL: the row is older than this column.';
COMMENT ON COLUMN restatements.old_file IS 'The file of the old values, in source_files; NULL if they came by REST.';
COMMENT ON COLUMN restatements.new_file IS 'The file of the new values, in source_files; NULL if they came by REST.';

ALTER TABLE source_files ADD COLUMN checked_at timestamptz;
UPDATE source_files SET checked_at = read_at;
ALTER TABLE source_files ALTER COLUMN checked_at SET NOT NULL;
COMMENT ON COLUMN source_files.checked_at IS 'When the archive last had this file at this address; for an import, when it was last read.';

COMMENT ON TABLE source_stretches IS
    'The stretches of a series that were read from a file. Neighbouring days of one file are one stretch; '
    'no two stretches of a series overlap. What REST adds or overwrites later is cut out of them.';

-- The stretches say it for all candles, except for those that were restated before stretches were cut.
CREATE OR REPLACE FUNCTION candle_source(exchange text, symbol text, timeframe text, "time" timestamptz) RETURNS text
LANGUAGE sql STABLE
RETURN (
    SELECT coalesce(
        (
            SELECT CASE WHEN restated.old_source IS NULL THEN restated.source END
            FROM restatements AS restated
            WHERE restated.exchange = $1 AND restated.symbol = $2 AND restated.timeframe = $3 AND restated."time" = $4
            ORDER BY restated.id DESC
            LIMIT 1
        ),
        (
            SELECT origin.url
            FROM provenance AS origin
            WHERE origin.exchange = $1 AND origin.symbol = $2 AND origin.timeframe = $3
                AND origin.stretch_start <= $4 AND origin.stretch_end > $4
        ),
        'rest'
    )
    FROM candles AS stored
    WHERE stored.exchange = $1 AND stored.symbol = $2 AND stored.timeframe = $3 AND stored."time" = $4
);

COMMENT ON FUNCTION candle_source(text, text, text, timestamptz) IS
    'Where a stored candle came from: the URL of its file, or "rest".';
