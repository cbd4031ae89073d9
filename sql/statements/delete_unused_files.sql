-- Deletes the records of an exchange's files that are not used any more. A file is used if stored candles were read
-- from it, or if a restatement refers to it.
DELETE FROM source_files
WHERE exchange = %(exchange)s
    AND NOT EXISTS (SELECT FROM source_stretches WHERE source_stretches.file_id = source_files.id)
    AND NOT EXISTS (
        SELECT FROM restatements
        WHERE restatements.old_file = source_files.id OR restatements.new_file = source_files.id
    )
