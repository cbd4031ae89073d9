UPDATE source_files SET checked_at = greatest(checked_at, %(at)s) WHERE id = ANY(%(ids)s)
