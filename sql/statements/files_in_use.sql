-- The archive files from which stored candles were read. For each address, only the newest known file is listed.
-- An older file at the same address is not listed, even if some stored candles are only in the older file.
-- A file is listed only if its address begins with :base_url and its last check was before :checked_before. The result
-- has at most :most files.
SELECT newest.id, newest.url, newest.digest, newest.size, newest.etag, newest.last_modified, newest.checked_at
FROM (
    SELECT DISTINCT ON (files.url)
        files.id, files.url, files.digest, files.size, files.etag, files.last_modified, files.checked_at
    FROM source_files AS files
    WHERE files.exchange = %(exchange)s AND starts_with(files.url, %(base_url)s)
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
