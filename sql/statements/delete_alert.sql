DELETE FROM alerts WHERE kind = %(kind)s AND subject = %(subject)s AND since = %(since)s
