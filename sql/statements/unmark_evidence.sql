-- Removes the marks of days that were classified. Marks that another process removes now are left to it.
DELETE FROM outage_evidence
WHERE id IN (
    SELECT id
    FROM outage_evidence
    WHERE id = ANY(%(numbers)s)
    ORDER BY id
    FOR UPDATE SKIP LOCKED
)
