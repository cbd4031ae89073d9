-- The stretches of a series that were read from files, each with its file. The stretches are cut to [:start, :end).
SELECT
    greatest(stretch_start, %(start)s) AS stretch_start,
    least(stretch_end, %(end)s) AS stretch_end,
    source,
    url,
    size,
    digest,
    published_digest,
    checked_against,
    etag,
    last_modified,
    read_at
FROM provenance
WHERE exchange = %(exchange)s
    AND symbol = %(symbol)s
    AND timeframe = %(timeframe)s
    AND stretch_start < %(end)s
    AND stretch_end > %(start)s
ORDER BY stretch_start
