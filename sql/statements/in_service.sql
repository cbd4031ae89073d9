-- Whether something of the exchange was fetched in the days before :day, before the instant :at: it was in service then.
SELECT EXISTS (
    SELECT
    FROM slice_ledger
    WHERE exchange = %(exchange)s
        AND timeframe = %(timeframe)s
        AND day >= %(day)s - 3
        AND day <= %(day)s
        AND fetched_at < %(at)s
);
