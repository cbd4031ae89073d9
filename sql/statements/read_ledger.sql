-- The ledger rows of the given slices of one exchange. Slices without a ledger row are left out.
SELECT slice_ledger.*
FROM unnest(%(symbols)s::text[], %(timeframes)s::text[], %(days)s::date[]) AS slices (symbol, timeframe, day)
JOIN slice_ledger
    ON slice_ledger.exchange = %(exchange)s
    AND slice_ledger.symbol = slices.symbol
    AND slice_ledger.timeframe = slices.timeframe
    AND slice_ledger.day = slices.day
