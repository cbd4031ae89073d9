-- depends: 0009_delisted
-- Three more reasons for a missing candle, and the evidence for silences that are no lack of trades.

ALTER TABLE slice_ledger
    ADD COLUMN broken_at_source integer NOT NULL DEFAULT 0,
    ADD COLUMN halted integer NOT NULL DEFAULT 0,
    ADD COLUMN not_listed integer NOT NULL DEFAULT 0,
    DROP CONSTRAINT slice_ledger_accounts_for_every_candle,
    DROP CONSTRAINT slice_ledger_counts_are_not_negative;

ALTER TABLE slice_ledger
    ADD CONSTRAINT slice_ledger_accounts_for_every_candle CHECK (
        present + unknown + no_trades + outage + pre_listing + delisted + beyond_horizon + quarantined
        + broken_at_source + halted + not_listed = expected
    ),
    ADD CONSTRAINT slice_ledger_counts_are_not_negative CHECK (
        least(present, unknown, no_trades, outage, pre_listing, delisted, beyond_horizon, quarantined,
              broken_at_source, halted, not_listed, rows_quarantined, requests, retries) >= 0
    );

COMMENT ON COLUMN slice_ledger.no_trades IS
    'Missing: absent from two good answers hours apart, in a silence as long as this series usually has. No trades.';
COMMENT ON COLUMN slice_ledger.outage IS
    'Missing: most series of the exchange were silent together, while another exchange traded. The exchange was down.';
COMMENT ON COLUMN slice_ledger.broken_at_source IS
    'Missing: the exchange sent the same broken row in two good answers hours apart; see quarantine.';
COMMENT ON COLUMN slice_ledger.halted IS
    'Missing: a silence too long, or shared by too many series, for a lack of trades. Trading stood still; see silences.';
COMMENT ON COLUMN slice_ledger.not_listed IS
    'Missing: a silence of a week or longer between candles of a series that traded often; see silences.';

ALTER TABLE gaps
    DROP CONSTRAINT gaps_reason_is_known,
    ADD CONSTRAINT gaps_reason_is_known CHECK (
        reason IN (
            'unknown', 'no_trades', 'outage', 'pre_listing', 'delisted', 'beyond_horizon', 'quarantined',
            'broken_at_source', 'halted', 'not_listed'
        )
    );

COMMENT ON COLUMN gaps.reason IS
    'unknown, no_trades, outage, pre_listing, delisted, beyond_horizon, quarantined, broken_at_source, halted or '
    'not_listed; see slice_ledger''s columns.';

-- From these the later checks of halts and outages are planned: of all gaps, the few that were not checked yet.
CREATE INDEX gaps_to_check_later ON gaps (exchange, symbol, timeframe, gap_start)
WHERE reason IN ('outage', 'halted', 'broken_at_source') AND observations < 4;

CREATE TABLE silences (
    exchange text NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    silence_start timestamptz NOT NULL,
    silence_end timestamptz NOT NULL,
    reason text NOT NULL,
    traded_share double precision NOT NULL,
    silent_series integer NOT NULL,
    listed_series integer NOT NULL,
    witness text,
    PRIMARY KEY (exchange, symbol, timeframe, silence_start),
    CONSTRAINT silences_are_not_empty CHECK (silence_start < silence_end),
    CONSTRAINT silences_share_is_a_share CHECK (traded_share >= 0 AND traded_share <= 1),
    CONSTRAINT silences_reason_is_known CHECK (reason IN ('outage', 'halted', 'not_listed'))
);

COMMENT ON TABLE silences IS
    'Stretches in which a series was silent although it traded often before and after: the evidence for the gaps with '
    'the reasons outage, halted and not_listed. A stretch may last for days; its gaps are cut at midnight UTC.';
COMMENT ON COLUMN silences.exchange IS 'ccxt''s id of the exchange.';
COMMENT ON COLUMN silences.symbol IS 'ccxt''s unified symbol.';
COMMENT ON COLUMN silences.timeframe IS 'Length of a candle.';
COMMENT ON COLUMN silences.silence_start IS 'Start of the first candle that is missing.';
COMMENT ON COLUMN silences.silence_end IS 'End of the last candle that is missing: the stretch is [silence_start, silence_end).';
COMMENT ON COLUMN silences.reason IS 'outage, halted or not_listed.';
COMMENT ON COLUMN silences.traded_share IS 'The share of its candles that the series has on the stored days around the stretch.';
COMMENT ON COLUMN silences.silent_series IS 'How many busy series of the exchange were silent together in the stretch; 1: this one alone.';
COMMENT ON COLUMN silences.listed_series IS 'How many busy series of the exchange were listed and stored then.';
COMMENT ON COLUMN silences.witness IS
    'A series of another exchange that traded within the stretch: "kraken BTC/USD 1m". NULL: none is stored.';

-- New columns of a view can only stand at its end.
CREATE OR REPLACE VIEW coverage AS
SELECT
    exchange,
    symbol,
    timeframe,
    day,
    state,
    expected,
    present,
    expected - present AS missing,
    unknown,
    no_trades,
    outage,
    pre_listing,
    delisted,
    beyond_horizon,
    quarantined,
    round(100.0 * present / nullif(expected - pre_listing - delisted - not_listed, 0), 2) AS percent,
    fetched_at,
    broken_at_source,
    halted,
    not_listed
FROM slice_ledger;

COMMENT ON COLUMN coverage.no_trades IS 'No trades in these candles.';
COMMENT ON COLUMN coverage.outage IS 'The exchange was down.';
COMMENT ON COLUMN coverage.broken_at_source IS 'The exchange sent the same broken row twice, hours apart.';
COMMENT ON COLUMN coverage.halted IS 'Trading stood still, of this series or of the exchange.';
COMMENT ON COLUMN coverage.not_listed IS 'The market was off the exchange''s list for a time.';

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'titan10_reader') THEN
        GRANT SELECT ON silences TO titan10_reader;
    END IF;
END
$$;
