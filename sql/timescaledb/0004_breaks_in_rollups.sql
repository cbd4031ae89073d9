-- depends: 0017_series_identities 0003_rollups_from_the_table
-- The views over continuous aggregates leave out candles that would bridge a break. Repeated here, because 0002 and 0003
-- make these views without it, and a database may get TimescaleDB after 0017.

DO $$
DECLARE
    rollup rollups;
BEGIN
    FOR rollup IN SELECT * FROM rollups ORDER BY step LOOP
        IF to_regclass('rollup_' || rollup.name) IS NOT NULL THEN
            PERFORM create_rollup_face(rollup);
        END IF;
    END LOOP;
END
$$;
