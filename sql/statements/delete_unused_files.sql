-- The files of an exchange that no stored candle and no restatement names any more.
DELETE FROM source_files
WHERE exchange = %(exchange)s
    AND NOT EXISTS (SELECT FROM source_stretches WHERE source_stretches.file_id = source_files.id)
    AND NOT EXISTS (
        SELECT FROM restatements
        WHERE restatements.old_file = source_files.id OR restatements.new_file = source_files.id
    )
