UPDATE alerts
SET done = true
WHERE kind = %(kind)s AND subject = %(subject)s AND since <> %(since)s AND NOT done
