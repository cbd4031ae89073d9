-- The newest known file at each address that stretches name. An address counts once, even if stretches
-- still name an older file because the newer one lacks some candles.
SELECT newest.id, newest.url, newest.digest, newest.size, newest.etag, newest.last_modified, newest.checked_at
FROM (
    SELECT DISTINCT ON (files.url)
        files.id, files.url, files.digest, files.size, files.etag, files.last_modified, files.checked_at
    FROM source_files AS files
    WHERE files.exchange = %(exchange)s AND files.url NOT LIKE 'file://%%'
    ORDER BY files.url, files.checked_at DESC, files.id DESC
) AS newest
WHERE newest.checked_at < %(checked_before)s
    AND newest.url IN (
        SELECT named.url
        FROM source_stretches AS stretches
        JOIN source_files AS named ON named.id = stretches.file_id
        WHERE stretches.exchange = %(exchange)s
    )
ORDER BY newest.checked_at, newest.url
LIMIT %(most)s
