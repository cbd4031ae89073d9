-- depends: 0030_schema_of_functions 0005_plain_comments
-- The job that compresses rollups runs with the default search path of its role. If only the URL of Titan-10 has the
-- schema of the tables, the job did not find them. A procedure with COMMIT cannot have its own search path. Therefore
-- its body has the names of the schemas.

DO $migration$
BEGIN
    EXECUTE format(
        $create$
        CREATE OR REPLACE PROCEDURE compress_rollups(job_id integer DEFAULT NULL, config jsonb DEFAULT NULL)
        LANGUAGE plpgsql AS $$
        DECLARE
            part regclass;
        BEGIN
            FOR part IN
                SELECT format('%%I.%%I', chunks.chunk_schema, chunks.chunk_name)::regclass
                FROM timescaledb_information.chunks AS chunks
                JOIN timescaledb_information.continuous_aggregates AS kept
                    ON kept.materialization_hypertable_schema = chunks.hypertable_schema
                    AND kept.materialization_hypertable_name = chunks.hypertable_name
                JOIN %1$I.rollups ON kept.view_name = 'rollup_' || rollups.name
                WHERE rollups.step <= interval '1 hour'
                    AND kept.view_schema = %1$L
                    AND chunks.range_end < now() - interval '7 days'
            LOOP
                PERFORM pg_advisory_xact_lock(7310424202);
                CALL %2$I.convert_to_columnstore(part, if_not_columnstore => true);
                COMMIT;
            END LOOP;
        END
        $$
        $create$,
        current_schema(),
        (
            SELECT nspname
            FROM pg_extension
            JOIN pg_namespace ON pg_namespace.oid = extnamespace
            WHERE extname = 'timescaledb'
        )
    );
END
$migration$;
