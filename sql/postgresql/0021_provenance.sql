-- Which file a stretch of candles was read from. Candles outside of every stretch came by REST.

CREATE TABLE source_files (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exchange text NOT NULL,
    url text NOT NULL,
    size bigint NOT NULL,
    digest text NOT NULL,
    published_digest text,
    checked_against text,
    etag text,
    last_modified text,
    read_at timestamptz NOT NULL,
    CONSTRAINT source_files_are_known_once UNIQUE (url, digest)
);

COMMENT ON TABLE source_files IS 'Every candle file that stored candles were read from: of an archive, or imported.';
COMMENT ON COLUMN source_files.id IS 'Number of the file.';
COMMENT ON COLUMN source_files.exchange IS 'ccxt''s id of the exchange.';
COMMENT ON COLUMN source_files.url IS 'Where it was read from; file:// for an imported file.';
COMMENT ON COLUMN source_files.size IS 'Bytes, as downloaded.';
COMMENT ON COLUMN source_files.digest IS 'Digest of the bytes that were read: sha256:<hex>.';
COMMENT ON COLUMN source_files.published_digest IS 'The digest that the archive publishes; NULL: none.';
COMMENT ON COLUMN source_files.checked_against IS
    'Which published digest the bytes are equal to: "sha256 file", "md5 file", "md5 etag"; NULL: nothing was published.';
COMMENT ON COLUMN source_files.etag IS 'ETag of the answer.';
COMMENT ON COLUMN source_files.last_modified IS 'Last-Modified of the answer.';
COMMENT ON COLUMN source_files.read_at IS 'When the file was read first.';

CREATE TABLE source_stretches (
    exchange text NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    stretch_start timestamptz NOT NULL,
    stretch_end timestamptz NOT NULL,
    file_id bigint NOT NULL REFERENCES source_files (id),
    PRIMARY KEY (exchange, symbol, timeframe, stretch_start),
    CONSTRAINT source_stretches_are_not_empty CHECK (stretch_start < stretch_end)
);

COMMENT ON TABLE source_stretches IS
    'The stretches of a series that were read from a file. Neighbouring days of one file are one stretch; '
    'no two stretches of a series overlap. A candle that was restated later has its source in restatements.';
COMMENT ON COLUMN source_stretches.exchange IS 'ccxt''s id of the exchange.';
COMMENT ON COLUMN source_stretches.symbol IS 'ccxt''s unified symbol.';
COMMENT ON COLUMN source_stretches.timeframe IS 'Length of a candle.';
COMMENT ON COLUMN source_stretches.stretch_start IS 'Start of the first candle.';
COMMENT ON COLUMN source_stretches.stretch_end IS 'End of the last candle: the stretch is [stretch_start, stretch_end).';
COMMENT ON COLUMN source_stretches.file_id IS 'The file.';

CREATE VIEW provenance AS
SELECT
    stretches.exchange,
    stretches.symbol,
    stretches.timeframe,
    stretches.stretch_start,
    stretches.stretch_end,
    CASE WHEN files.url LIKE 'file://%' THEN 'import' ELSE 'archive' END AS source,
    files.url,
    files.size,
    files.digest,
    files.published_digest,
    files.checked_against,
    files.etag,
    files.last_modified,
    files.read_at
FROM source_stretches AS stretches
JOIN source_files AS files ON files.id = stretches.file_id;

COMMENT ON VIEW provenance IS
    'The stretches of candles that were read from files, each with its file. All other candles came by REST.';

COMMENT ON COLUMN provenance.exchange IS 'ccxt''s id of the exchange.';
COMMENT ON COLUMN provenance.symbol IS 'ccxt''s unified symbol.';
COMMENT ON COLUMN provenance.timeframe IS 'Length of a candle.';
COMMENT ON COLUMN provenance.stretch_start IS 'Start of the first candle.';
COMMENT ON COLUMN provenance.stretch_end IS 'End of the last candle.';
COMMENT ON COLUMN provenance.source IS 'archive, or import: a file that a user downloaded.';
COMMENT ON COLUMN provenance.url IS 'Where the file was read from.';
COMMENT ON COLUMN provenance.size IS 'Bytes, as downloaded.';
COMMENT ON COLUMN provenance.digest IS 'Digest of the bytes that were read: sha256:<hex>.';
COMMENT ON COLUMN provenance.published_digest IS 'The digest that the archive publishes; NULL: none.';
COMMENT ON COLUMN provenance.checked_against IS 'Which published digest the bytes are equal to; NULL: nothing was published.';
COMMENT ON COLUMN provenance.etag IS 'ETag of the answer.';
COMMENT ON COLUMN provenance.last_modified IS 'Last-Modified of the answer.';
COMMENT ON COLUMN provenance.read_at IS 'When the file was read first.';

-- "rest" for a stored candle without a file, NULL where no such candle is stored.
CREATE FUNCTION candle_source(exchange text, symbol text, timeframe text, "time" timestamptz) RETURNS text
LANGUAGE sql STABLE
RETURN (
    SELECT coalesce(
        (
            SELECT restated.source
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
    'Where a stored candle came from: the URL of its file, "rest", or the source of its last restatement.';

COMMENT ON COLUMN slice_ledger.source IS
    'Where that fetch took it from: rest, archive, or import: a file that a user downloaded.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'titan10_reader') THEN
        GRANT SELECT ON source_files, source_stretches, provenance TO titan10_reader;
    END IF;
END
$$;
