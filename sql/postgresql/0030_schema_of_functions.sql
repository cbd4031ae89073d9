-- depends: 0029_plain_comments
-- A function finds its tables in its own schema, also if the search path of the reader does not contain this schema.

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION latest_candles() SET search_path = %I, pg_temp', current_schema());
    -- With its own search path, ohlcv_filled could not become a part of the query that calls it, and the conditions of
    -- this query would not reach the tables. Therefore its body is compiled now, with the tables of this schema.
    EXECUTE (
        SELECT format(
            'CREATE OR REPLACE FUNCTION ohlcv_filled(%s) RETURNS %s LANGUAGE sql STABLE PARALLEL SAFE BEGIN ATOMIC %s; END',
            pg_get_function_arguments(oid),
            pg_get_function_result(oid),
            prosrc
        )
        FROM pg_proc
        WHERE oid = to_regprocedure('ohlcv_filled(text, text, text, timestamptz, timestamptz, text[])')
    );
END
$$;
