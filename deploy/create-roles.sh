#!/bin/sh
# Create the role of Titan-10. It owns its database and is not a superuser. The script runs once, when the database is
# created.
#
# A superuser could run programs on the server (COPY ... FROM PROGRAM) and read its files. Readers cannot take advisory
# locks, which writers use. 50 connections are reserved for Titan-10.
set -eu
psql --set ON_ERROR_STOP=1 --set password="$TITAN10_PASSWORD" --username "$POSTGRES_USER" --dbname "$POSTGRES_DB" <<'SQL'
CREATE ROLE titan10 LOGIN NOSUPERUSER CREATEROLE PASSWORD :'password';
ALTER DATABASE titan10 OWNER TO titan10;
GRANT pg_use_reserved_connections TO titan10;
SELECT format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC; GRANT EXECUTE ON FUNCTION %1$s TO titan10', oid::regprocedure)
FROM pg_proc
WHERE pronamespace = 'pg_catalog'::regnamespace AND proname ~ '^pg_(try_)?advisory_'
\gexec
ALTER SYSTEM SET max_connections = 200;
ALTER SYSTEM SET reserved_connections = 50;
SQL
