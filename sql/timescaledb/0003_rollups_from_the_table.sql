-- depends: 0011_rollup_function 0002_continuous_aggregates
-- Rollups that were added before the database had TimescaleDB get their continuous aggregates, and the job compresses
-- the rollups that the table rollups names.

DO $$
DECLARE
    rollup rollups;
BEGIN
    IF to_regclass('rollup_5m') IS NULL THEN
        RETURN;  -- the Apache licence has no continuous aggregates
    END IF;
    FOR rollup IN SELECT * FROM rollups ORDER BY step LOOP
        IF to_regclass('rollup_' || rollup.name) IS NULL THEN
            PERFORM create_rollup_aggregate(rollup);
        END IF;
    END LOOP;
END
$$;

CREATE OR REPLACE PROCEDURE compress_rollups(job_id integer DEFAULT NULL, config jsonb DEFAULT NULL)
LANGUAGE plpgsql AS $$
DECLARE
    part regclass;
BEGIN
    FOR part IN
        SELECT format('%I.%I', chunks.chunk_schema, chunks.chunk_name)::regclass
        FROM timescaledb_information.chunks AS chunks
        JOIN timescaledb_information.continuous_aggregates AS kept
            ON kept.materialization_hypertable_schema = chunks.hypertable_schema
            AND kept.materialization_hypertable_name = chunks.hypertable_name
        JOIN rollups ON kept.view_name = 'rollup_' || rollups.name
        WHERE rollups.step <= interval '1 hour'
            AND kept.view_schema = current_schema()
            AND chunks.range_end < now() - interval '7 days'
    LOOP
        PERFORM pg_advisory_xact_lock(7310424202);
        CALL convert_to_columnstore(part, if_not_columnstore => true);
        COMMIT;
    END LOOP;
END
$$;
