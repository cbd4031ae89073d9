-- Lets the role titan10_reader read all tables and views of this schema. The statement runs each time Titan-10 migrates
-- the database, because an administrator may create the role later than the tables.
DO $$
DECLARE
    relation regclass;
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'titan10_reader') THEN
        BEGIN
            CREATE ROLE titan10_reader NOLOGIN;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN
                NULL;
            WHEN insufficient_privilege THEN
                RETURN;
        END;
    END IF;
    IF NOT has_schema_privilege('titan10_reader', current_schema(), 'USAGE') THEN
        EXECUTE format('GRANT USAGE ON SCHEMA %I TO titan10_reader', current_schema());
    END IF;
    FOR relation IN
        SELECT pg_class.oid
        FROM pg_class
        WHERE pg_class.relnamespace = current_schema()::regnamespace
            AND pg_class.relkind IN ('r', 'p', 'v', 'm')
            AND pg_class.relname !~ '^_?yoyo'
            AND pg_has_role(pg_class.relowner, 'USAGE')
            AND NOT has_table_privilege('titan10_reader', pg_class.oid, 'SELECT')
    LOOP
        EXECUTE format('GRANT SELECT ON %s TO titan10_reader', relation);
    END LOOP;
END
$$
