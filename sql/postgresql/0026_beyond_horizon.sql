-- depends: 0004_alerts 0010_gap_reasons
-- Days that REST no longer serves and that an archive may have: a sensor looks for them every half minute.

CREATE INDEX slice_ledger_beyond_horizon ON slice_ledger (exchange, symbol, timeframe, day) WHERE beyond_horizon > 0;

COMMENT ON COLUMN alerts.kind IS 'breaker, gaps, live, settlement, unfinished, series.';
