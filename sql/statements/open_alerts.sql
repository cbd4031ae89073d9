SELECT kind, subject, message, since, last_seen, told, told_over, over_at
FROM alerts
WHERE NOT done
ORDER BY since, kind, subject
