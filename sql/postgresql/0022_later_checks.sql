-- depends: 0010_gap_reasons 0021_provenance
-- Candles that came broken twice are checked again later too, as halts and outages are.

DROP INDEX gaps_to_check_later;
CREATE INDEX gaps_to_check_later ON gaps (exchange, symbol, timeframe, gap_start)
WHERE reason IN ('outage', 'halted', 'broken_at_source') AND observations < 4;

COMMENT ON COLUMN slice_ledger.source IS
    'Where that fetch took it from: rest, archive, or import: a file that a user downloaded.';
