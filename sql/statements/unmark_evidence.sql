-- Removes the marks of days that were classified. A mark that another process is removing at this moment is skipped.
DELETE FROM outage_evidence
WHERE id IN (
    SELECT id
    FROM outage_evidence
    WHERE id = ANY(%(numbers)s)
    ORDER BY id
    FOR UPDATE SKIP LOCKED
)
