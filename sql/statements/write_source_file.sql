-- If a known file is read again, the time of its first reading is kept. The time of the last check, the ETag and the
-- modification time come from the latest reading. The other columns do not change.
INSERT INTO source_files AS known
    (exchange, url, size, digest, published_digest, checked_against, etag, last_modified, read_at, checked_at)
VALUES (
    %(exchange)s, %(url)s, %(size)s, %(digest)s, %(published_digest)s, %(checked_against)s, %(etag)s,
    %(last_modified)s, %(read_at)s, %(read_at)s
)
ON CONFLICT (url, digest) DO UPDATE SET
    read_at = least(known.read_at, excluded.read_at),
    checked_at = greatest(known.checked_at, excluded.checked_at),
    etag = CASE WHEN excluded.checked_at > known.checked_at THEN excluded.etag ELSE known.etag END,
    last_modified = CASE
        WHEN excluded.checked_at > known.checked_at THEN excluded.last_modified
        ELSE known.last_modified
    END
RETURNING id
