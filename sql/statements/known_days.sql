-- The days before :today with a ledger row, for the given series, as stretches of consecutive days. Series of the same
-- exchange and timeframe share a row of the result if their stretches and their `since` are equal.
-- `since`: the first day of the series that was fetched before the end of the next day. It is NULL if no such day
-- exists, or if no day is missing between the first day of the series and :today.
-- One pass over the ledger counts the days of all series. If no day is missing between the first and the last day of a
-- series, the series has one stretch. Otherwise LATERAL reads the days of the series through the primary key. Days of
-- the same stretch have the same difference between the day and its row number.
WITH totals AS MATERIALIZED (
    SELECT exchange, symbol, timeframe, count(*) AS days, min(day) AS first, max(day) AS last
    FROM slice_ledger
    WHERE day < %(today)s
    GROUP BY exchange, symbol, timeframe
),

asked AS MATERIALIZED (
    SELECT
        series.*,
        totals.first,
        totals.last,
        totals.days = totals.last - totals.first + 1 AS is_one_stretch,
        totals.days < %(today)s - totals.first AS has_holes
    FROM unnest(%(exchanges)s::text[], %(symbols)s::text[], %(timeframes)s::text[])
        AS series (exchange, symbol, timeframe)
    LEFT JOIN totals USING (exchange, symbol, timeframe)
),

known AS (
    SELECT asked.exchange, asked.symbol, asked.timeframe, duty.since, stretches.firsts, stretches.lasts
    FROM asked
    LEFT JOIN LATERAL (
        SELECT day AS since
        FROM slice_ledger
        WHERE slice_ledger.exchange = asked.exchange
            AND slice_ledger.symbol = asked.symbol
            AND slice_ledger.timeframe = asked.timeframe
            AND (fetched_at AT TIME ZONE 'UTC')::date <= day + 1
            AND asked.has_holes
        ORDER BY day
        LIMIT 1
    ) AS duty ON TRUE
    CROSS JOIN LATERAL (
        SELECT array_agg(first ORDER BY first) AS firsts, array_agg(last ORDER BY first) AS lasts
        FROM (
            SELECT asked.first, asked.last
            WHERE asked.is_one_stretch
            UNION ALL
            SELECT min(day), max(day)
            FROM (
                SELECT day, day - row_number() OVER (ORDER BY day)::integer AS stretch
                FROM slice_ledger
                WHERE slice_ledger.exchange = asked.exchange
                    AND slice_ledger.symbol = asked.symbol
                    AND slice_ledger.timeframe = asked.timeframe
                    AND day < %(today)s
                    AND NOT asked.is_one_stretch
            ) AS numbered
            GROUP BY stretch
        ) AS either
    ) AS stretches
)

SELECT exchange, timeframe, since, firsts, lasts, array_agg(symbol ORDER BY symbol) AS symbols
FROM known
GROUP BY exchange, timeframe, since, firsts, lasts
ORDER BY exchange, symbols
