-- Removes the marks of days that were classified. If another process is removing a mark at this moment, the mark is
-- skipped.
DELETE FROM outage_evidence
WHERE id IN (
    SELECT id
    FROM outage_evidence
    WHERE id = ANY(%(numbers)s)
    ORDER BY id
    FOR UPDATE SKIP LOCKED
)
