-- The days before :today that the ledger knows of some series, as stretches; a row for those series of an exchange
-- that have the same ones.
-- Counting is cheap. Only a series that misses a day after its first one has its days looked at one by one: days less
-- their number in order are equal within a stretch. MATERIALIZED and LATERAL: each series by the primary key.
WITH totals AS MATERIALIZED (
    SELECT series.*, counted.*, counted.days < %(today)s - counted.first AS has_holes
    FROM unnest(%(exchanges)s::text[], %(symbols)s::text[], %(timeframes)s::text[])
        AS series (exchange, symbol, timeframe)
    CROSS JOIN LATERAL (
        SELECT count(*) AS days, min(day) AS first, max(day) AS last
        FROM slice_ledger
        WHERE slice_ledger.exchange = series.exchange
            AND slice_ledger.symbol = series.symbol
            AND slice_ledger.timeframe = series.timeframe
            AND day < %(today)s
    ) AS counted
),

known AS (
    SELECT totals.exchange, totals.symbol, totals.timeframe, duty.since, stretches.firsts, stretches.lasts
    FROM totals
    LEFT JOIN LATERAL (
        SELECT day AS since
        FROM slice_ledger
        WHERE slice_ledger.exchange = totals.exchange
            AND slice_ledger.symbol = totals.symbol
            AND slice_ledger.timeframe = totals.timeframe
            AND (fetched_at AT TIME ZONE 'UTC')::date <= day + 1
            AND totals.has_holes
        ORDER BY day
        LIMIT 1
    ) AS duty ON TRUE
    CROSS JOIN LATERAL (
        SELECT array_agg(first ORDER BY first) AS firsts, array_agg(last ORDER BY first) AS lasts
        FROM (
            SELECT totals.first, totals.last
            WHERE NOT totals.has_holes
            UNION ALL
            SELECT min(day), max(day)
            FROM (
                SELECT day, day - row_number() OVER (ORDER BY day)::integer AS stretch
                FROM slice_ledger
                WHERE slice_ledger.exchange = totals.exchange
                    AND slice_ledger.symbol = totals.symbol
                    AND slice_ledger.timeframe = totals.timeframe
                    AND day < %(today)s
                    AND totals.has_holes
            ) AS numbered
            GROUP BY stretch
        ) AS either
    ) AS stretches
)

SELECT exchange, timeframe, since, firsts, lasts, array_agg(symbol ORDER BY symbol) AS symbols
FROM known
GROUP BY exchange, timeframe, since, firsts, lasts
ORDER BY exchange, symbols
