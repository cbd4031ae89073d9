-- depends: 0001_tables
-- Each write asks whether a later candle contradicts a delisting: of years of slices, the few that are called that.
CREATE INDEX slice_ledger_delisted ON slice_ledger (exchange, symbol, timeframe, day) WHERE delisted > 0;
