INSERT INTO source_files AS known
    (exchange, url, size, digest, published_digest, checked_against, etag, last_modified, read_at)
VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s)
ON CONFLICT (url, digest) DO UPDATE SET read_at = least(known.read_at, excluded.read_at)
RETURNING id
