INSERT INTO alerts (kind, subject, since, last_seen, message, due, told, over_at, told_over, done)
VALUES (
    %(kind)s, %(subject)s, %(since)s, %(last_seen)s, %(message)s, %(due)s, %(told)s, %(over_at)s, %(told_over)s, %(done)s
)
ON CONFLICT (kind, subject, since) DO UPDATE
SET last_seen = excluded.last_seen,
    message = excluded.message,
    due = excluded.due,
    told = excluded.told,
    over_at = excluded.over_at,
    told_over = excluded.told_over,
    done = excluded.done;
