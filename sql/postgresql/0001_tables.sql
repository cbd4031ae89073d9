-- The tables, views and the reader role that every PostgreSQL gets (15 or newer).
-- Instants are timestamptz; days are UTC days; stretches of time are half-open.

-- Candles --------------------------------------------------------------------

CREATE FUNCTION timeframe_interval(timeframe text) RETURNS interval
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE timeframe
    WHEN '1m' THEN interval '1 minute'
    WHEN '3m' THEN interval '3 minutes'
    WHEN '5m' THEN interval '5 minutes'
    WHEN '15m' THEN interval '15 minutes'
    WHEN '30m' THEN interval '30 minutes'
    WHEN '1h' THEN interval '1 hour'
    WHEN '2h' THEN interval '2 hours'
    WHEN '4h' THEN interval '4 hours'
    WHEN '6h' THEN interval '6 hours'
    WHEN '8h' THEN interval '8 hours'
    WHEN '12h' THEN interval '12 hours'
    WHEN '1d' THEN interval '24 hours'
END;

COMMENT ON FUNCTION timeframe_interval(text) IS
    'The length of one candle of the timeframe ("1m", "1h", "1d"); NULL for a timeframe that is not allowed.';

CREATE TABLE candles (
    exchange text NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    "time" timestamptz NOT NULL,
    open bigint NOT NULL,
    high bigint NOT NULL,
    low bigint NOT NULL,
    close bigint NOT NULL,
    volume bigint NOT NULL,
    price_scale double precision NOT NULL,
    volume_scale double precision NOT NULL,
    PRIMARY KEY (exchange, symbol, timeframe, "time"),
    -- NaN sorts above Infinity in PostgreSQL, so "< 'Infinity'" keeps out both.
    CONSTRAINT candles_scales_are_finite CHECK (
        price_scale > 0 AND price_scale < 'Infinity' AND volume_scale > 0 AND volume_scale < 'Infinity'
    ),
    CONSTRAINT candles_prices_are_ordered CHECK (
        low > 0 AND low <= open AND low <= close AND high >= open AND high >= close
    ),
    CONSTRAINT candles_volume_is_not_negative CHECK (volume >= 0),
    -- IS TRUE: an unknown timeframe gives NULL, which a CHECK alone would let pass.
    CONSTRAINT candles_time_is_on_the_grid CHECK (
        (date_bin(timeframe_interval(timeframe), "time", timestamptz '1970-01-01 00:00:00+00') = "time") IS TRUE
    )
);

COMMENT ON TABLE candles IS
    'Every valid candle, once. The values are exact integers with the row''s own scale beside them: '
    'a third of the size of doubles once compressed. Read the view "ohlcv" instead, which divides.';
COMMENT ON COLUMN candles.exchange IS 'ccxt''s id of the exchange: binance, kraken.';
COMMENT ON COLUMN candles.symbol IS 'ccxt''s unified symbol: BTC/USDT.';
COMMENT ON COLUMN candles.timeframe IS 'Length of the candle in ccxt''s words: 1m, 1h, 1d.';
COMMENT ON COLUMN candles."time" IS 'Start of the candle, on the timeframe''s UTC grid.';
COMMENT ON COLUMN candles.open IS 'First price, times price_scale.';
COMMENT ON COLUMN candles.high IS 'Highest price, times price_scale.';
COMMENT ON COLUMN candles.low IS 'Lowest price, times price_scale.';
COMMENT ON COLUMN candles.close IS 'Last price, times price_scale.';
COMMENT ON COLUMN candles.volume IS 'Volume in the base currency, times volume_scale.';
COMMENT ON COLUMN candles.price_scale IS
    'Divide the four prices by it (never multiply by its inverse) to get the double that the exchange sent.';
COMMENT ON COLUMN candles.volume_scale IS 'Divide the volume by it to get the double that the exchange sent.';

CREATE VIEW ohlcv AS
SELECT
    exchange,
    symbol,
    timeframe,
    "time",
    open / price_scale AS open,
    high / price_scale AS high,
    low / price_scale AS low,
    close / price_scale AS close,
    volume / volume_scale AS volume
FROM candles;

COMMENT ON VIEW ohlcv IS 'The candles, as the exchange wrote them: the public face of the table "candles".';
COMMENT ON COLUMN ohlcv.exchange IS 'ccxt''s id of the exchange: binance, kraken.';
COMMENT ON COLUMN ohlcv.symbol IS 'ccxt''s unified symbol: BTC/USDT.';
COMMENT ON COLUMN ohlcv.timeframe IS 'Length of the candle in ccxt''s words: 1m, 1h, 1d.';
COMMENT ON COLUMN ohlcv."time" IS 'Start of the candle (UTC).';
COMMENT ON COLUMN ohlcv.open IS 'First price, in the quote currency.';
COMMENT ON COLUMN ohlcv.high IS 'Highest price, in the quote currency.';
COMMENT ON COLUMN ohlcv.low IS 'Lowest price, in the quote currency.';
COMMENT ON COLUMN ohlcv.close IS 'Last price, in the quote currency.';
COMMENT ON COLUMN ohlcv.volume IS 'Volume, in the base currency.';

-- What is known of them ------------------------------------------------------

CREATE TABLE series (
    exchange text NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    market_id text,
    first_candle timestamptz NOT NULL,
    last_candle timestamptz NOT NULL,
    PRIMARY KEY (exchange, symbol, timeframe),
    CONSTRAINT series_first_is_not_after_last CHECK (first_candle <= last_candle)
);

COMMENT ON TABLE series IS 'Every line of candles that is stored, and where it begins and ends.';
COMMENT ON COLUMN series.exchange IS 'ccxt''s id of the exchange.';
COMMENT ON COLUMN series.symbol IS 'ccxt''s unified symbol.';
COMMENT ON COLUMN series.timeframe IS 'Length of a candle.';
COMMENT ON COLUMN series.market_id IS
    'The exchange''s own name of the market: it stays the same when ccxt renames the symbol. NULL: not known yet.';
COMMENT ON COLUMN series.first_candle IS 'Start of the oldest candle stored.';
COMMENT ON COLUMN series.last_candle IS 'Start of the newest candle stored.';

CREATE TABLE slice_ledger (
    exchange text NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    day date NOT NULL,
    state text NOT NULL,
    expected integer NOT NULL,
    present integer NOT NULL,
    unknown integer NOT NULL,
    no_trades integer NOT NULL,
    outage integer NOT NULL,
    pre_listing integer NOT NULL,
    delisted integer NOT NULL,
    beyond_horizon integer NOT NULL,
    quarantined integer NOT NULL,
    rows_quarantined integer NOT NULL,
    fetched_at timestamptz NOT NULL,
    source text NOT NULL,
    requests integer NOT NULL,
    retries integer NOT NULL,
    seconds double precision NOT NULL,
    note text,
    PRIMARY KEY (exchange, symbol, timeframe, day),
    CONSTRAINT slice_ledger_state_is_known CHECK (state IN ('live', 'partial', 'settled')),
    -- The promise of the whole project, held by the database: every candle is there or has a reason not to be.
    CONSTRAINT slice_ledger_accounts_for_every_candle CHECK (
        present + unknown + no_trades + outage + pre_listing + delisted + beyond_horizon + quarantined = expected
    ),
    CONSTRAINT slice_ledger_counts_are_not_negative CHECK (
        least(present, unknown, no_trades, outage, pre_listing, delisted, beyond_horizon, quarantined,
              rows_quarantined, requests, retries) >= 0
    )
);

CREATE INDEX slice_ledger_by_day ON slice_ledger (exchange, timeframe, day);
-- What repairs are planned from: of years of slices, the few that are not done with.
CREATE INDEX slice_ledger_open ON slice_ledger (day)
WHERE state <> 'settled' OR unknown > 0 OR quarantined > 0;

COMMENT ON TABLE slice_ledger IS 'What is known of each slice: one series on one UTC day. Counts are candles.';
COMMENT ON COLUMN slice_ledger.exchange IS 'ccxt''s id of the exchange.';
COMMENT ON COLUMN slice_ledger.symbol IS 'ccxt''s unified symbol.';
COMMENT ON COLUMN slice_ledger.timeframe IS 'Length of a candle.';
COMMENT ON COLUMN slice_ledger.day IS 'The UTC day.';
COMMENT ON COLUMN slice_ledger.state IS
    'live: fed while the day runs; partial: the exchange did not answer for all of it; '
    'settled: fetched whole after the day ended. It only ever rises.';
COMMENT ON COLUMN slice_ledger.expected IS 'Candles that the day had room for when it was fetched (1440 at 1m).';
COMMENT ON COLUMN slice_ledger.present IS 'Candles stored, counted from the table candles.';
COMMENT ON COLUMN slice_ledger.unknown IS 'Missing, and not explained yet.';
COMMENT ON COLUMN slice_ledger.no_trades IS 'Missing: the exchange answered twice, hours apart, that nobody traded.';
COMMENT ON COLUMN slice_ledger.outage IS 'Missing: the exchange itself stood still, while others traded.';
COMMENT ON COLUMN slice_ledger.pre_listing IS 'Missing: the market was not listed yet.';
COMMENT ON COLUMN slice_ledger.delisted IS 'Missing: the market was not listed any more.';
COMMENT ON COLUMN slice_ledger.beyond_horizon IS 'Missing: the exchange does not keep candles for so long.';
COMMENT ON COLUMN slice_ledger.quarantined IS 'Missing: what the exchange gave breaks a rule; see quarantine.';
COMMENT ON COLUMN slice_ledger.rows_quarantined IS 'Rows of this slice in quarantine that no valid candle replaced.';
COMMENT ON COLUMN slice_ledger.fetched_at IS 'When the fetch that gave the slice its state took place.';
COMMENT ON COLUMN slice_ledger.source IS 'Where that fetch took it from: rest, archive.';
COMMENT ON COLUMN slice_ledger.requests IS 'Requests which that fetch made.';
COMMENT ON COLUMN slice_ledger.retries IS 'How many of the requests were repetitions.';
COMMENT ON COLUMN slice_ledger.seconds IS 'Seconds which that fetch took.';
COMMENT ON COLUMN slice_ledger.note IS 'What the fetch has to say about itself.';

CREATE TABLE gaps (
    exchange text NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    gap_start timestamptz NOT NULL,
    gap_end timestamptz NOT NULL,
    candles integer NOT NULL,
    reason text NOT NULL,
    observations integer NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    PRIMARY KEY (exchange, symbol, timeframe, gap_start),
    CONSTRAINT gaps_are_not_empty CHECK (gap_start < gap_end AND candles > 0),
    CONSTRAINT gaps_were_seen CHECK (observations >= 0 AND first_seen <= last_seen),
    CONSTRAINT gaps_reason_is_known CHECK (
        reason IN ('unknown', 'no_trades', 'outage', 'pre_listing', 'delisted', 'beyond_horizon', 'quarantined')
    )
);

-- What repairs are planned from: the gaps without a final reason. A quiet pair has hundreds of others on the same day.
CREATE INDEX gaps_open ON gaps (exchange, symbol, timeframe, gap_start) WHERE reason IN ('unknown', 'quarantined');

COMMENT ON TABLE gaps IS 'Runs of missing candles, each with its reason. A gap never crosses midnight UTC.';
COMMENT ON COLUMN gaps.exchange IS 'ccxt''s id of the exchange.';
COMMENT ON COLUMN gaps.symbol IS 'ccxt''s unified symbol.';
COMMENT ON COLUMN gaps.timeframe IS 'Length of a candle.';
COMMENT ON COLUMN gaps.gap_start IS 'Start of the first candle that is missing.';
COMMENT ON COLUMN gaps.gap_end IS 'End of the last candle that is missing: the gap is [gap_start, gap_end).';
COMMENT ON COLUMN gaps.candles IS 'How many candles are missing.';
COMMENT ON COLUMN gaps.reason IS
    'unknown, no_trades, outage, pre_listing, delisted, beyond_horizon or quarantined; see slice_ledger''s columns.';
COMMENT ON COLUMN gaps.observations IS 'How often the exchange answered well around it, hours apart, without these candles.';
COMMENT ON COLUMN gaps.first_seen IS 'When it was first seen.';
COMMENT ON COLUMN gaps.last_seen IS 'When the last observation that counts was made.';

CREATE TABLE outage_evidence (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exchange text NOT NULL,
    timeframe text NOT NULL,
    day date NOT NULL
);

COMMENT ON TABLE outage_evidence IS
    'Days that were written and may have become evidence of an outage, of this exchange or of another one, '
    'until that was looked into. Nearly always empty.';
COMMENT ON COLUMN outage_evidence.id IS 'Number of the mark, in the order of writing.';
COMMENT ON COLUMN outage_evidence.exchange IS 'ccxt''s id of the exchange that was written.';
COMMENT ON COLUMN outage_evidence.timeframe IS 'Length of its candles.';
COMMENT ON COLUMN outage_evidence.day IS 'The UTC day.';

CREATE TABLE quarantine (
    exchange text NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    day date NOT NULL,
    "time" timestamptz NOT NULL,
    open double precision NOT NULL,
    high double precision NOT NULL,
    low double precision NOT NULL,
    close double precision NOT NULL,
    volume double precision NOT NULL,
    rules text[] NOT NULL,
    source text NOT NULL,
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    count integer NOT NULL DEFAULT 1,
    resolved_at timestamptz,
    -- The values belong to the key: two candles of one minute that contradict each other are both kept.
    PRIMARY KEY (exchange, symbol, timeframe, day, "time", open, high, low, close, volume),
    CONSTRAINT quarantine_names_a_rule CHECK (cardinality(rules) > 0),
    CONSTRAINT quarantine_was_seen CHECK (count > 0 AND first_seen <= last_seen)
);

COMMENT ON TABLE quarantine IS 'Rows that an exchange sent and that break a rule, exactly as they came.';
COMMENT ON COLUMN quarantine.exchange IS 'ccxt''s id of the exchange.';
COMMENT ON COLUMN quarantine.symbol IS 'ccxt''s unified symbol.';
COMMENT ON COLUMN quarantine.timeframe IS 'Length of a candle.';
COMMENT ON COLUMN quarantine.day IS 'The UTC day (slice) that was asked for when the row came.';
COMMENT ON COLUMN quarantine."time" IS 'The row''s time as sent: it may lie off the grid or outside of the day.';
COMMENT ON COLUMN quarantine.open IS 'As sent; NaN where the exchange sent nothing.';
COMMENT ON COLUMN quarantine.high IS 'As sent; NaN where the exchange sent nothing.';
COMMENT ON COLUMN quarantine.low IS 'As sent; NaN where the exchange sent nothing.';
COMMENT ON COLUMN quarantine.close IS 'As sent; NaN where the exchange sent nothing.';
COMMENT ON COLUMN quarantine.volume IS 'As sent; NaN where the exchange sent nothing.';
COMMENT ON COLUMN quarantine.rules IS 'Names of the rules it breaks.';
COMMENT ON COLUMN quarantine.source IS 'Where it came from first: rest, archive.';
COMMENT ON COLUMN quarantine.first_seen IS 'When it was first sent.';
COMMENT ON COLUMN quarantine.last_seen IS 'When it was last sent.';
COMMENT ON COLUMN quarantine.count IS 'In how many fetches it was sent.';
COMMENT ON COLUMN quarantine.resolved_at IS 'When a valid candle of the same time was there; NULL: still missing.';

CREATE TABLE restatements (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    exchange text NOT NULL,
    symbol text NOT NULL,
    timeframe text NOT NULL,
    "time" timestamptz NOT NULL,
    old_open double precision NOT NULL,
    old_high double precision NOT NULL,
    old_low double precision NOT NULL,
    old_close double precision NOT NULL,
    old_volume double precision NOT NULL,
    new_open double precision NOT NULL,
    new_high double precision NOT NULL,
    new_low double precision NOT NULL,
    new_close double precision NOT NULL,
    new_volume double precision NOT NULL,
    source text NOT NULL,
    seen_at timestamptz NOT NULL
);

CREATE INDEX restatements_by_candle ON restatements (exchange, symbol, timeframe, "time");

COMMENT ON TABLE restatements IS 'Candles that an exchange sent again with other values. The new ones are in candles.';
COMMENT ON COLUMN restatements.id IS 'Number of the restatement, in the order of writing.';
COMMENT ON COLUMN restatements.exchange IS 'ccxt''s id of the exchange.';
COMMENT ON COLUMN restatements.symbol IS 'ccxt''s unified symbol.';
COMMENT ON COLUMN restatements.timeframe IS 'Length of the candle.';
COMMENT ON COLUMN restatements."time" IS 'Start of the candle.';
COMMENT ON COLUMN restatements.old_open IS 'Value stored until then.';
COMMENT ON COLUMN restatements.old_high IS 'Value stored until then.';
COMMENT ON COLUMN restatements.old_low IS 'Value stored until then.';
COMMENT ON COLUMN restatements.old_close IS 'Value stored until then.';
COMMENT ON COLUMN restatements.old_volume IS 'Value stored until then.';
COMMENT ON COLUMN restatements.new_open IS 'Value stored since.';
COMMENT ON COLUMN restatements.new_high IS 'Value stored since.';
COMMENT ON COLUMN restatements.new_low IS 'Value stored since.';
COMMENT ON COLUMN restatements.new_close IS 'Value stored since.';
COMMENT ON COLUMN restatements.new_volume IS 'Value stored since.';
COMMENT ON COLUMN restatements.source IS 'Where the new values came from: rest, archive.';
COMMENT ON COLUMN restatements.seen_at IS 'When the new values were fetched.';

-- Exchanges ------------------------------------------------------------------

CREATE TABLE exchange_health (
    exchange text PRIMARY KEY,
    state text NOT NULL DEFAULT 'closed',
    open_until timestamptz,
    failures integer NOT NULL DEFAULT 0,
    reason text,
    probe_until timestamptz,
    changed_at timestamptz,
    pace double precision NOT NULL DEFAULT 1,
    pace_at timestamptz,
    rest_until timestamptz,
    last_error text,
    last_error_at timestamptz,
    shut_since timestamptz,
    CONSTRAINT exchange_health_pace_is_a_share CHECK (pace > 0 AND pace <= 1),
    CONSTRAINT exchange_health_state_is_known CHECK (state IN ('closed', 'open', 'half_open'))
);

COMMENT ON TABLE exchange_health IS 'The circuit breaker and the pace of each exchange, seen by every run and sensor.';
COMMENT ON COLUMN exchange_health.exchange IS 'ccxt''s id of the exchange.';
COMMENT ON COLUMN exchange_health.state IS 'closed: requests are made; open: none; half_open: one probe is under way.';
COMMENT ON COLUMN exchange_health.open_until IS 'Nothing is requested before.';
COMMENT ON COLUMN exchange_health.failures IS 'Failures in a row.';
COMMENT ON COLUMN exchange_health.reason IS 'Why it is open.';
COMMENT ON COLUMN exchange_health.probe_until IS 'The probe that is under way is given up at this instant.';
COMMENT ON COLUMN exchange_health.changed_at IS 'When the state last changed.';
COMMENT ON COLUMN exchange_health.pace IS
    'The share of the full pace at pace_at, just after the exchange asked for fewer requests; it recovers since.';
COMMENT ON COLUMN exchange_health.pace_at IS 'When it was last slowed down; NULL: never.';
COMMENT ON COLUMN exchange_health.rest_until IS 'The end of the last rest that the exchange asked for (Retry-After).';
COMMENT ON COLUMN exchange_health.last_error IS 'The last error of any kind, whether it counts for the breaker or not.';
COMMENT ON COLUMN exchange_health.last_error_at IS 'When that was.';
COMMENT ON COLUMN exchange_health.shut_since IS 'When it was last closed; NULL: it is.';

CREATE TABLE exchange_requests (
    exchange text NOT NULL,
    hour timestamptz NOT NULL,
    requests integer NOT NULL,
    PRIMARY KEY (exchange, hour)
);

COMMENT ON TABLE exchange_requests IS 'How many requests were made of each exchange, by all runs and polls, for two days.';
COMMENT ON COLUMN exchange_requests.exchange IS 'ccxt''s id of the exchange.';
COMMENT ON COLUMN exchange_requests.hour IS 'Start of the hour (UTC) in which they were counted.';
COMMENT ON COLUMN exchange_requests.requests IS 'Requests, of whatever cost; a run that is under way counts them each minute.';

CREATE TABLE markets (
    exchange text NOT NULL,
    symbol text NOT NULL,
    market_id text NOT NULL,
    base text NOT NULL,
    quote text NOT NULL,
    base_id text NOT NULL,
    quote_id text NOT NULL,
    active boolean NOT NULL,
    type text NOT NULL,
    listed timestamptz,
    extra jsonb NOT NULL DEFAULT '{}',
    first_seen timestamptz NOT NULL,
    last_seen timestamptz NOT NULL,
    PRIMARY KEY (exchange, symbol)
);

COMMENT ON TABLE markets IS 'What each exchange trades, as its own list last said.';
COMMENT ON COLUMN markets.exchange IS 'ccxt''s id of the exchange.';
COMMENT ON COLUMN markets.symbol IS 'ccxt''s unified symbol.';
COMMENT ON COLUMN markets.market_id IS 'The exchange''s own name of the market.';
COMMENT ON COLUMN markets.base IS 'Currency that is traded, in ccxt''s words.';
COMMENT ON COLUMN markets.quote IS 'Currency of the price, in ccxt''s words.';
COMMENT ON COLUMN markets.base_id IS 'The exchange''s own name of the base currency.';
COMMENT ON COLUMN markets.quote_id IS 'The exchange''s own name of the quote currency.';
COMMENT ON COLUMN markets.active IS 'Whether it trades; false too once the exchange stopped listing it.';
COMMENT ON COLUMN markets.type IS 'spot.';
COMMENT ON COLUMN markets.listed IS 'Start of its first candle, where that was looked up.';
COMMENT ON COLUMN markets.extra IS 'What ccxt''s class of the exchange needs besides.';
COMMENT ON COLUMN markets.first_seen IS 'When the list first named it.';
COMMENT ON COLUMN markets.last_seen IS 'When the list last named it.';

-- Views for people -----------------------------------------------------------

CREATE VIEW coverage AS
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
    round(100.0 * present / nullif(expected - pre_listing - delisted, 0), 2) AS percent,
    fetched_at
FROM slice_ledger;

COMMENT ON VIEW coverage IS 'How much of each series and day is stored, and why the rest is not.';
COMMENT ON COLUMN coverage.exchange IS 'ccxt''s id of the exchange.';
COMMENT ON COLUMN coverage.symbol IS 'ccxt''s unified symbol.';
COMMENT ON COLUMN coverage.timeframe IS 'Length of a candle.';
COMMENT ON COLUMN coverage.day IS 'The UTC day.';
COMMENT ON COLUMN coverage.state IS 'live, partial or settled.';
COMMENT ON COLUMN coverage.expected IS 'Candles that the day has room for.';
COMMENT ON COLUMN coverage.present IS 'Candles stored.';
COMMENT ON COLUMN coverage.missing IS 'Candles that are not: the sum of the reasons that follow.';
COMMENT ON COLUMN coverage.unknown IS 'Not explained yet.';
COMMENT ON COLUMN coverage.no_trades IS 'Nobody traded.';
COMMENT ON COLUMN coverage.outage IS 'The exchange stood still.';
COMMENT ON COLUMN coverage.pre_listing IS 'Not listed yet.';
COMMENT ON COLUMN coverage.delisted IS 'Not listed any more.';
COMMENT ON COLUMN coverage.beyond_horizon IS 'Older than what the exchange keeps.';
COMMENT ON COLUMN coverage.quarantined IS 'What came breaks a rule.';
COMMENT ON COLUMN coverage.percent IS 'Candles stored of those that can exist (while the market was listed).';
COMMENT ON COLUMN coverage.fetched_at IS 'When it was fetched.';

CREATE VIEW missing_minutes AS
SELECT
    gaps.exchange,
    gaps.symbol,
    gaps.timeframe,
    missing."time",
    gaps.reason
FROM gaps
CROSS JOIN LATERAL generate_series(
    gaps.gap_start,
    gaps.gap_end - timeframe_interval(gaps.timeframe),
    timeframe_interval(gaps.timeframe)
) AS missing ("time");

COMMENT ON VIEW missing_minutes IS 'Every missing candle, one by one, with its reason.';
COMMENT ON COLUMN missing_minutes.exchange IS 'ccxt''s id of the exchange.';
COMMENT ON COLUMN missing_minutes.symbol IS 'ccxt''s unified symbol.';
COMMENT ON COLUMN missing_minutes.timeframe IS 'Length of a candle.';
COMMENT ON COLUMN missing_minutes."time" IS 'Start of the candle that is missing.';
COMMENT ON COLUMN missing_minutes.reason IS 'Why it is missing; see gaps.';

-- Readers --------------------------------------------------------------------

-- Roles belong to the whole server: another database of it may have made the role already, or be making it now.
DO $$
BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'titan10_reader') THEN
        CREATE ROLE titan10_reader NOLOGIN;
    END IF;
EXCEPTION
    WHEN duplicate_object OR unique_violation THEN
        NULL;
    WHEN insufficient_privilege THEN
        RAISE NOTICE 'The role titan10_reader was not made, for this user may not create roles. Titan-10 works '
            'without it. To have it: CREATE ROLE titan10_reader; GRANT SELECT ON ALL TABLES IN SCHEMA public TO it.';
END
$$;

DO $$
BEGIN
    IF EXISTS (SELECT FROM pg_roles WHERE rolname = 'titan10_reader') THEN
        GRANT USAGE ON SCHEMA public TO titan10_reader;
        GRANT SELECT ON candles, ohlcv, series, slice_ledger, gaps, outage_evidence, quarantine, restatements,
            exchange_health, exchange_requests, markets, coverage, missing_minutes TO titan10_reader;
        ALTER DEFAULT PRIVILEGES IN SCHEMA public GRANT SELECT ON TABLES TO titan10_reader;
    END IF;
END
$$;
