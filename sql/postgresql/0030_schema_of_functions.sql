-- depends: 0029_plain_comments
-- A function finds its tables in its own schema, also if the search path of the reader does not contain this schema.

DO $$
BEGIN
    EXECUTE format('ALTER FUNCTION latest_candles() SET search_path = %I, pg_temp', current_schema());
    EXECUTE format(
        'ALTER FUNCTION ohlcv_filled(text, text, text, timestamptz, timestamptz, text[]) SET search_path = %I, pg_temp',
        current_schema()
    );
END
$$;
