INSERT INTO slice_ledger (
    exchange, symbol, timeframe, day, state, expected, present,
    unknown, no_trades, outage, pre_listing, delisted, beyond_horizon, quarantined,
    broken_at_source, halted, not_listed, rows_quarantined, fetched_at, source, requests, retries, seconds, note
)
VALUES %s
ON CONFLICT (exchange, symbol, timeframe, day) DO UPDATE SET
    state = excluded.state,
    expected = excluded.expected,
    present = excluded.present,
    unknown = excluded.unknown,
    no_trades = excluded.no_trades,
    outage = excluded.outage,
    pre_listing = excluded.pre_listing,
    delisted = excluded.delisted,
    beyond_horizon = excluded.beyond_horizon,
    quarantined = excluded.quarantined,
    broken_at_source = excluded.broken_at_source,
    halted = excluded.halted,
    not_listed = excluded.not_listed,
    rows_quarantined = excluded.rows_quarantined,
    fetched_at = excluded.fetched_at,
    source = excluded.source,
    requests = excluded.requests,
    retries = excluded.retries,
    seconds = excluded.seconds,
    note = excluded.note
