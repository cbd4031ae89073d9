-- depends: 0009_delisted
-- Days that became final because the exchange closed their market open again if the market trades again. This index
-- finds them in each write; their notes hold these words.
CREATE INDEX ledger_closed ON slice_ledger (exchange, symbol, timeframe, day)
WHERE beyond_horizon > 0 AND note LIKE '%closed market: %';
