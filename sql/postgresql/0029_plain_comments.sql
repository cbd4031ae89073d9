-- depends: 0003_consensus 0006_preferred 0007_latest 0008_alerts_due 0015_write_locks 0017_series_identities
-- depends: 0020_probes 0025_sources_of_restatements 0026_beyond_horizon
-- Sets the comments that were hard to read again, in full sentences. Nothing else changes.

COMMENT ON TABLE alerts IS
    'Problems that automatic repair could not solve, open and past, and the addresses that were notified.';
COMMENT ON COLUMN alerts.kind IS 'Kind of the problem: breaker, gaps, live, settlement, unfinished or series.';
COMMENT ON COLUMN alerts.subject IS 'What the problem is about: the id of an exchange.';
COMMENT ON COLUMN alerts.since IS 'Time of the first check that found the problem.';
COMMENT ON COLUMN alerts.last_seen IS 'Time of the last check that found the problem.';
COMMENT ON COLUMN alerts.message IS 'A sentence that describes the problem.';
COMMENT ON COLUMN alerts.told IS 'Digests of the addresses that received a message about the problem.';
COMMENT ON COLUMN alerts.over_at IS 'Time at which the problem ended. NULL: the problem has not ended.';
COMMENT ON COLUMN alerts.told_over IS 'Digests of the addresses that received a message about the end of the problem.';
COMMENT ON COLUMN alerts.done IS 'Whether the problem has ended and the alert is closed.';
COMMENT ON COLUMN alerts.due IS
    'Whether the problem has lasted long enough for a notification. Before that, it may end without a notification.';

COMMENT ON TABLE candles IS
    'All valid candles, each stored once. The values are exact integers, and each row has the scales of its values. '
    'After compression they take a third of the size of doubles. Read the view "ohlcv" instead, which divides by the '
    'scales.';
COMMENT ON COLUMN candles.timeframe IS 'Length of the candle in ccxt''s notation: 1m, 1h, 1d.';
COMMENT ON COLUMN candles.price_scale IS
    'Divide the four prices by this number to get the doubles that the exchange sent. Do not multiply by its inverse.';
COMMENT ON COLUMN candles.volume_scale IS 'Divide the volume by this number to get the double that the exchange sent.';

COMMENT ON VIEW consensus IS
    'Each minute of a base currency, across all markets that traded in this minute. Set bounds on "time" and a base, '
    'and if possible a quote: SELECT * FROM consensus WHERE "time" >= ''2024-01-10Z'' AND "time" < ''2024-01-11Z'' AND '
    'base = ''BTC'' AND quote = ''USD*''. Without bounds, the query reads all stored minutes.';
COMMENT ON COLUMN consensus.base IS 'The traded currency: BTC.';
COMMENT ON COLUMN consensus.quote IS
    'Currency of the price: USDT, EUR or USD*. USD* combines USD, USDT and USDC, which also have their own rows.';
COMMENT ON COLUMN consensus.median_close IS
    'Median of the closes of all markets. If the number of markets is even, the mean of the two middle closes.';
COMMENT ON COLUMN consensus.volume IS 'Sum of the volumes of all markets, in the base currency.';
COMMENT ON COLUMN consensus.exchanges IS
    'Number of exchanges that traded. For the quote USD*, an exchange that trades BTC/USD and BTC/USDT counts once '
    'here, but both closes are used for the median, the weighted close and the spread.';
COMMENT ON COLUMN consensus.spread_bp IS 'Highest close minus lowest close, in basis points of the median.';

COMMENT ON VIEW coverage IS
    'Number of stored candles of each series and UTC day, and number of missing candles by reason.';
COMMENT ON COLUMN coverage.expected IS 'Number of candles that the day can have.';
COMMENT ON COLUMN coverage.present IS 'Number of stored candles.';
COMMENT ON COLUMN coverage.missing IS 'Number of missing candles: the sum of the columns for the reasons.';
COMMENT ON COLUMN coverage.unknown IS 'Number of missing candles that are not explained yet.';
COMMENT ON COLUMN coverage.no_trades IS 'Number of missing candles without trades.';
COMMENT ON COLUMN coverage.outage IS 'Number of missing candles while the exchange was down.';
COMMENT ON COLUMN coverage.pre_listing IS 'Number of missing candles before the market was listed.';
COMMENT ON COLUMN coverage.delisted IS 'Number of missing candles after the market was delisted.';
COMMENT ON COLUMN coverage.beyond_horizon IS
    'Number of missing candles that are so old that the exchange no longer serves them.';
COMMENT ON COLUMN coverage.quarantined IS
    'Number of missing candles for which the exchange sent a row that breaks a rule.';
COMMENT ON COLUMN coverage.percent IS
    'Stored candles in percent of the candles that can exist while the market was listed.';
COMMENT ON COLUMN coverage.fetched_at IS 'Time of the fetch.';
COMMENT ON COLUMN coverage.broken_at_source IS
    'Number of missing candles for which the exchange sent the same broken row twice, hours apart.';
COMMENT ON COLUMN coverage.halted IS
    'Number of missing candles while trading in this series or on the whole exchange was halted.';
COMMENT ON COLUMN coverage.not_listed IS
    'Number of missing candles while the exchange did not list the market for some time.';

COMMENT ON TABLE exchange_health IS
    'The circuit breaker and the pace of each exchange. All runs and sensors use the same row.';
COMMENT ON COLUMN exchange_health.state IS
    'State of the breaker. closed: requests are made. open: no request is made. half_open: one test request is made.';
COMMENT ON COLUMN exchange_health.open_until IS 'No request is made before this time.';
COMMENT ON COLUMN exchange_health.failures IS 'Number of consecutive failures.';
COMMENT ON COLUMN exchange_health.reason IS 'Why the breaker is open.';
COMMENT ON COLUMN exchange_health.probe_until IS
    'If the test request has no result by this time, another process may make a test request.';
COMMENT ON COLUMN exchange_health.changed_at IS 'Time at which the state last changed.';
COMMENT ON COLUMN exchange_health.pace IS
    'Share of the full pace at the time pace_at, when the exchange had asked for fewer requests. Since then, the pace '
    'has been rising again.';
COMMENT ON COLUMN exchange_health.pace_at IS 'Time at which the pace was last reduced. NULL: never.';
COMMENT ON COLUMN exchange_health.rest_until IS
    'End of the last pause that the exchange asked for in the header Retry-After.';
COMMENT ON COLUMN exchange_health.last_error IS
    'The last error of any kind. It is not important whether the error counts as a failure for the breaker.';
COMMENT ON COLUMN exchange_health.last_error_at IS 'Time of the last error.';
COMMENT ON COLUMN exchange_health.shut_since IS
    'Time at which the breaker left the state closed. NULL: the breaker is closed now.';

COMMENT ON COLUMN exchange_probes.probed_at IS 'Start of the probe.';
COMMENT ON COLUMN exchange_probes.requests IS 'Number of requests of the probe.';
COMMENT ON COLUMN exchange_probes.expected IS
    'The expected value of each property at that time, from the record of the exchange or from the previous probe.';

COMMENT ON TABLE exchange_requests IS
    'Number of requests to each exchange in each hour, by all runs and polls. Rows are deleted after two days.';
COMMENT ON COLUMN exchange_requests.hour IS 'Start of the hour (UTC).';
COMMENT ON COLUMN exchange_requests.requests IS
    'Number of requests, whatever they cost of the rate limit. A run adds its requests each minute.';

COMMENT ON COLUMN gaps.gap_start IS 'Start of the first missing candle.';
COMMENT ON COLUMN gaps.gap_end IS 'End of the last missing candle. The gap is [gap_start, gap_end).';
COMMENT ON COLUMN gaps.candles IS 'Number of missing candles.';
COMMENT ON COLUMN gaps.reason IS
    'unknown, no_trades, outage, pre_listing, delisted, beyond_horizon, quarantined, broken_at_source, halted or '
    'not_listed. The columns of slice_ledger with these names explain the reasons.';
COMMENT ON COLUMN gaps.observations IS
    'Number of complete answers without these candles that the exchange gave hours apart.';
COMMENT ON COLUMN gaps.first_seen IS 'Time of the first observation of the gap.';
COMMENT ON COLUMN gaps.last_seen IS 'Time of the last observation that was counted.';

COMMENT ON VIEW latest IS 'The newest stored candle of every series, with the columns of ohlcv.';
COMMENT ON COLUMN latest.timeframe IS 'Length of the candle in ccxt''s notation: 1m, 1h, 1d.';

COMMENT ON TABLE markets IS 'The markets of each exchange, from its latest market list.';
COMMENT ON COLUMN markets.market_id IS 'The exchange''s own id of the market.';
COMMENT ON COLUMN markets.base IS 'The traded currency, in ccxt''s notation.';
COMMENT ON COLUMN markets.quote IS 'The currency of the price, in ccxt''s notation.';
COMMENT ON COLUMN markets.base_id IS 'The exchange''s own id of the base currency.';
COMMENT ON COLUMN markets.quote_id IS 'The exchange''s own id of the quote currency.';
COMMENT ON COLUMN markets.active IS 'Whether the market trades. false if the exchange no longer lists the market.';
COMMENT ON COLUMN markets.type IS 'Type of the market. Always spot.';
COMMENT ON COLUMN markets.listed IS 'Start of the first candle of the market. NULL: not known.';
COMMENT ON COLUMN markets.extra IS 'Further properties of the market that ccxt''s class of the exchange needs.';
COMMENT ON COLUMN markets.first_seen IS 'Time of the first market list with this market.';
COMMENT ON COLUMN markets.last_seen IS 'Time of the last market list with this market.';

COMMENT ON VIEW missing_minutes IS 'All missing candles with their reasons, one row for each candle.';
COMMENT ON COLUMN missing_minutes.time IS 'Start of the missing candle.';
COMMENT ON COLUMN missing_minutes.reason IS 'Why the candle is missing. The column gaps.reason lists the reasons.';

COMMENT ON VIEW ohlcv IS
    'All stored candles, with the values that the exchange sent. The view reads the table "candles".';
COMMENT ON COLUMN ohlcv.timeframe IS 'Length of the candle in ccxt''s notation: 1m, 1h, 1d.';

COMMENT ON TABLE outage_evidence IS
    'Days with new candles that are possibly evidence of an outage of this exchange or of another exchange. A row is '
    'deleted when the outages of its day were classified, so the table is nearly always empty.';
COMMENT ON COLUMN outage_evidence.exchange IS 'ccxt''s id of the exchange with new candles.';
COMMENT ON COLUMN outage_evidence.timeframe IS 'Length of the exchange''s candles.';

COMMENT ON TABLE preferences IS
    'The order of the exchanges for the view preferred. Titan-10 copies the order from `selection` in the settings.';
COMMENT ON COLUMN preferences.symbol IS 'ccxt''s unified symbol. *: all symbols without rows of their own.';
COMMENT ON COLUMN preferences.place IS
    'Position of the exchange in the order, from 1. An exchange is used for the candles that all exchanges before it '
    'do not have.';

COMMENT ON VIEW preferred IS
    'One candle for each symbol, timeframe and time: the candle of the first exchange in the order of the settings '
    'that has this candle. The columns exchange and place name this exchange. Symbols are never mixed: BTC/USD never '
    'replaces BTC/USDT. Set all three bounds: SELECT * FROM preferred WHERE symbol = ''BTC/USDT'' AND timeframe = '
    '''1m'' AND "time" >= ''2024-01-10Z'' AND "time" < ''2024-01-11Z''.';
COMMENT ON COLUMN preferred.timeframe IS 'Length of the candle in ccxt''s notation: 1m, 1h, 1d.';
COMMENT ON COLUMN preferred.volume IS 'Volume on this exchange, in the base currency.';
COMMENT ON COLUMN preferred.exchange IS 'ccxt''s id of the exchange of this candle.';
COMMENT ON COLUMN preferred.place IS
    'Position of the exchange in the order. 1: the first choice. A higher number: the exchanges before it have no '
    'candle at this time.';

COMMENT ON COLUMN provenance.source IS 'archive, or import (a file that a user downloaded).';
COMMENT ON COLUMN provenance.url IS 'Address from which the file was read.';
COMMENT ON COLUMN provenance.size IS 'Size of the file in bytes, as downloaded.';
COMMENT ON COLUMN provenance.published_digest IS
    'The digest that the archive publishes for the file. NULL: the archive publishes none.';
COMMENT ON COLUMN provenance.checked_against IS
    'The published digest that equals the digest of the file. NULL: the archive publishes no digest.';
COMMENT ON COLUMN provenance.etag IS 'Header ETag of the archive''s answer.';
COMMENT ON COLUMN provenance.last_modified IS 'Header Last-Modified of the archive''s answer.';
COMMENT ON COLUMN provenance.read_at IS 'Time at which the file was first read.';

COMMENT ON TABLE quarantine IS 'Rows from an exchange that break a candle rule, with the values that were received.';
COMMENT ON COLUMN quarantine.day IS 'The requested UTC day. The answer to this request contained the row.';
COMMENT ON COLUMN quarantine.time IS
    'Time of the row as received. It is possibly not on the timeframe''s grid, or not on the requested day.';
COMMENT ON COLUMN quarantine.open IS 'Value as received. NaN: the exchange sent no value.';
COMMENT ON COLUMN quarantine.high IS 'Value as received. NaN: the exchange sent no value.';
COMMENT ON COLUMN quarantine.low IS 'Value as received. NaN: the exchange sent no value.';
COMMENT ON COLUMN quarantine.close IS 'Value as received. NaN: the exchange sent no value.';
COMMENT ON COLUMN quarantine.volume IS 'Value as received. NaN: the exchange sent no value.';
COMMENT ON COLUMN quarantine.rules IS 'Names of the rules that the row breaks.';
COMMENT ON COLUMN quarantine.source IS 'Source of the first fetch that brought the row: rest, archive or import.';
COMMENT ON COLUMN quarantine.first_seen IS 'Time of the first fetch that brought the row.';
COMMENT ON COLUMN quarantine.last_seen IS 'Time of the last fetch that brought the row.';
COMMENT ON COLUMN quarantine.count IS 'Number of fetches that brought the row.';
COMMENT ON COLUMN quarantine.resolved_at IS
    'Time of the fetch after which a valid candle with the same time as this row was stored. NULL: no such candle is '
    'stored.';

COMMENT ON TABLE restatements IS
    'Candles that an exchange sent again with other values. The table candles has the new values.';
COMMENT ON COLUMN restatements.old_open IS 'Value that was stored before the restatement.';
COMMENT ON COLUMN restatements.old_high IS 'Value that was stored before the restatement.';
COMMENT ON COLUMN restatements.old_low IS 'Value that was stored before the restatement.';
COMMENT ON COLUMN restatements.old_close IS 'Value that was stored before the restatement.';
COMMENT ON COLUMN restatements.old_volume IS 'Value that was stored before the restatement.';
COMMENT ON COLUMN restatements.new_open IS 'Value that was stored by the restatement.';
COMMENT ON COLUMN restatements.new_high IS 'Value that was stored by the restatement.';
COMMENT ON COLUMN restatements.new_low IS 'Value that was stored by the restatement.';
COMMENT ON COLUMN restatements.new_close IS 'Value that was stored by the restatement.';
COMMENT ON COLUMN restatements.new_volume IS 'Value that was stored by the restatement.';
COMMENT ON COLUMN restatements.source IS 'Source of the new values: rest, archive or import.';
COMMENT ON COLUMN restatements.seen_at IS 'Time of the fetch that brought the new values.';
COMMENT ON COLUMN restatements.old_source IS
    'Source of the old values: rest, archive or import. NULL: the row was written before this column existed.';
COMMENT ON COLUMN restatements.old_file IS
    'Id of the file of the old values in source_files. NULL: the values did not come from a file.';
COMMENT ON COLUMN restatements.new_file IS
    'Id of the file of the new values in source_files. NULL: the values did not come from a file.';

COMMENT ON TABLE rollups IS
    'The timeframes that are built from 1m candles, one row for each of the views ohlcv_5m to ohlcv_1w.';
COMMENT ON COLUMN rollups.name IS 'Length of the candle in ccxt''s notation. The view has the name ohlcv_<name>.';
COMMENT ON COLUMN rollups.step IS
    'Length of the candle in minutes or hours, and not in days, because a day has 23 or 25 hours in some time zones.';
COMMENT ON COLUMN rollups.source IS
    'The candles from which TimescaleDB builds this rollup: 1m, or another rollup with a step that divides this step.';
COMMENT ON COLUMN rollups.words IS 'Length of the candle in words, for the comments of the views.';

COMMENT ON TABLE series IS 'All stored series, each with its first and last candle.';
COMMENT ON COLUMN series.market_id IS
    'The exchange''s own id of the market. It stays the same when ccxt renames the symbol. NULL: not known yet.';
COMMENT ON COLUMN series.first_candle IS 'Start of the oldest stored candle.';
COMMENT ON COLUMN series.last_candle IS 'Start of the newest stored candle.';

COMMENT ON TABLE series_breaks IS
    'Instants at which a series changes its unit or its market. Rollups, filled candles and exports never cross a '
    'break.';
COMMENT ON COLUMN series_breaks.kind IS
    'redenomination, price_jump or market. The first two kinds are found in the candles.';
COMMENT ON COLUMN series_breaks.price_factor IS
    'Price after the break, divided by the price before the break. NULL: not known.';
COMMENT ON COLUMN series_breaks.volume_factor IS
    'Typical volume after the break, divided by the typical volume before the break. NULL: not known.';

COMMENT ON TABLE series_events IS
    'Events of series: changed or ambiguous markets, breaks, restatements of most of a day, replaced archive files, '
    'renames and deletions.';
COMMENT ON COLUMN series_events.timeframe IS 'Length of a candle. Empty: the event concerns all timeframes.';
COMMENT ON COLUMN series_events.kind IS
    'market_changed, market_ambiguous, break, mass_restatement, renamed, dropped or file_replaced.';
COMMENT ON COLUMN series_events.detail IS 'Description of the event, with the values before and after the event.';
COMMENT ON COLUMN series_events.at IS
    'Time of the candles to which the event belongs. NULL: the event belongs to the whole series.';
COMMENT ON COLUMN series_events.first_seen IS 'Time of the first observation of the event.';
COMMENT ON COLUMN series_events.last_seen IS 'Time of the last observation of the event.';

COMMENT ON TABLE series_identities IS
    'The markets of each stored series, in the order in which they followed each other.';
COMMENT ON COLUMN series_identities.seen_at IS 'Time of the first market list with this market under this symbol.';
COMMENT ON COLUMN series_identities.valid_from IS
    'Candles from this time on come from this market. NULL: all candles since the start of the series.';
COMMENT ON COLUMN series_identities.market_id IS 'The exchange''s own id of the market.';
COMMENT ON COLUMN series_identities.base_id IS 'The exchange''s own id of the base asset.';
COMMENT ON COLUMN series_identities.quote_id IS 'The exchange''s own id of the quote asset.';
COMMENT ON COLUMN series_identities.scales IS
    'Contract size and price scales. Empty if the exchange does not state them.';

COMMENT ON TABLE silences IS
    'Stretches of time in which a series was silent, although it traded often before and after. They are the evidence '
    'for gaps with the reasons outage, halted and not_listed. A stretch can last for days, but its gaps are cut at '
    'midnight UTC.';
COMMENT ON COLUMN silences.silence_start IS 'Start of the first missing candle.';
COMMENT ON COLUMN silences.silence_end IS
    'End of the last missing candle. The stretch is [silence_start, silence_end).';
COMMENT ON COLUMN silences.traded_share IS
    'Share of expected candles that the series has on the stored days around the stretch.';
COMMENT ON COLUMN silences.silent_series IS
    'Number of busy series of the exchange that were silent at the same time. 1: only this series.';
COMMENT ON COLUMN silences.listed_series IS
    'Number of busy series of the exchange that were listed and stored at this time.';
COMMENT ON COLUMN silences.witness IS
    'A series of another exchange that traded during the stretch: "kraken BTC/USD 1m". NULL: no such series is stored.';

COMMENT ON TABLE slice_ledger IS
    'The known facts about each slice. A slice is one series on one UTC day. Counts are numbers of candles.';
COMMENT ON COLUMN slice_ledger.state IS
    'live: live polling adds candles during the day. partial: the exchange has not answered for the whole day. '
    'settled: the whole day was fetched after its end. A state never changes back to an earlier one.';
COMMENT ON COLUMN slice_ledger.expected IS
    'Number of candles that could exist at the time of the fetch. A complete day of 1m candles has 1440.';
COMMENT ON COLUMN slice_ledger.present IS 'Number of stored candles in the table candles.';
COMMENT ON COLUMN slice_ledger.unknown IS 'Number of missing candles that are not explained yet.';
COMMENT ON COLUMN slice_ledger.no_trades IS
    'Number of missing candles that were absent from two complete answers hours apart. The silence is not longer than '
    'usual for this series, so there were no trades.';
COMMENT ON COLUMN slice_ledger.outage IS
    'Number of missing candles while the exchange was down: most of its series were silent at the same time, but '
    'another exchange traded.';
COMMENT ON COLUMN slice_ledger.pre_listing IS 'Number of missing candles before the market was listed.';
COMMENT ON COLUMN slice_ledger.delisted IS 'Number of missing candles after the market was delisted.';
COMMENT ON COLUMN slice_ledger.beyond_horizon IS
    'Number of missing candles that are so old that the exchange no longer serves them.';
COMMENT ON COLUMN slice_ledger.quarantined IS
    'Number of missing candles for which the exchange sent a row that breaks a rule. See the table quarantine.';
COMMENT ON COLUMN slice_ledger.broken_at_source IS
    'Number of missing candles for which the exchange sent the same broken row in two complete answers hours apart. '
    'See the table quarantine.';
COMMENT ON COLUMN slice_ledger.halted IS
    'Number of missing candles while trading was halted: the silence is too long or shared by too many series to be '
    'explained by a lack of trades. See the table silences.';
COMMENT ON COLUMN slice_ledger.not_listed IS
    'Number of missing candles while the market was not listed for some time: a series that traded often was silent '
    'for a week or longer. See the table silences.';
COMMENT ON COLUMN slice_ledger.rows_quarantined IS
    'Number of rows of this slice in quarantine that no valid candle has replaced.';
COMMENT ON COLUMN slice_ledger.fetched_at IS 'Time of the fetch that gave the slice its state.';
COMMENT ON COLUMN slice_ledger.source IS
    'Source of the fetch that gave the slice its state: rest, archive, or import (a file that a user downloaded).';
COMMENT ON COLUMN slice_ledger.requests IS 'Number of requests of the fetch that gave the slice its state.';
COMMENT ON COLUMN slice_ledger.retries IS 'Number of these requests that repeated a failed request.';
COMMENT ON COLUMN slice_ledger.seconds IS 'Duration, in seconds, of the fetch that gave the slice its state.';
COMMENT ON COLUMN slice_ledger.note IS 'Remark about the fetch that gave the slice its state, for example an error.';

COMMENT ON TABLE source_files IS 'The files from which stored candles were read: archive files and imported files.';
COMMENT ON COLUMN source_files.url IS
    'Address from which the file was read. An imported file has an address with file://.';
COMMENT ON COLUMN source_files.size IS 'Size of the file in bytes, as downloaded.';
COMMENT ON COLUMN source_files.published_digest IS
    'The digest that the archive publishes for the file. NULL: the archive publishes none.';
COMMENT ON COLUMN source_files.checked_against IS
    'The published digest that equals the digest of the file: "sha256 file", "md5 file" or "md5 etag". NULL: the '
    'archive publishes no digest.';
COMMENT ON COLUMN source_files.etag IS 'Header ETag of the archive''s answer.';
COMMENT ON COLUMN source_files.last_modified IS 'Header Last-Modified of the archive''s answer.';
COMMENT ON COLUMN source_files.read_at IS 'Time at which the file was first read.';
COMMENT ON COLUMN source_files.checked_at IS
    'Last time at which the archive had this file at this address. For an imported file, the last time it was read.';

COMMENT ON TABLE source_stretches IS
    'The stretches of a series that were read from a file. Consecutive days from the same file form one stretch. '
    'Stretches of a series do not overlap. If REST later adds or overwrites candles, they are cut out of the stretch.';
COMMENT ON COLUMN source_stretches.file_id IS 'Id of the file in source_files.';

COMMENT ON TABLE write_locks IS
    'One row for each exchange. Writers of an exchange lock its row, so that only one of them writes at a time.';

COMMENT ON FUNCTION exact_decimal(bigint, double precision) IS
    'Converts a scaled integer of the table candles into its exact decimal number: 12345 at scale 100 is 123.45.';
COMMENT ON FUNCTION latest_candles() IS 'Returns the rows of the view latest. Read the view instead.';
COMMENT ON FUNCTION ohlcv_filled(text, text, text, timestamptz, timestamptz, text[]) IS
    'Returns the stored candles of [starts, ends), and a synthetic candle for each candle that is missing for one of '
    'the given reasons. The default is only no_trades. A synthetic candle has the last close as its prices, a volume '
    'of 0, "synthetic" = true, and its reason. A candle that is missing for another reason is left out, and later '
    'synthetic candles do not use a close from before it. Synthetic candles never exist before a listing, after a '
    'delisting, in a halt, in a time without a listing, or for candles that were never fetched. A close from before a '
    'break of the series (series_breaks) is not used after the break. SELECT * FROM ohlcv_filled(''binance'', '
    '''BTC/USDT'', ''1m'', ''2024-03-01Z'', ''2024-04-01Z'').';
COMMENT ON FUNCTION candle_source(text, text, text, timestamptz) IS
    'Returns the source of a stored candle: the URL of its file, or "rest".';
COMMENT ON FUNCTION rollup_chunk(interval) IS 'Returns the length of the chunks of a rollup on TimescaleDB.';
COMMENT ON FUNCTION create_rollup_view(rollups) IS
    'Creates the view of a rollup. The view computes the rollup from the 1m candles.';
COMMENT ON FUNCTION create_rollup_aggregate(rollups) IS
    'Creates the continuous aggregate of a rollup, which the view of the rollup then reads.';
COMMENT ON FUNCTION create_rollup_face(rollups) IS
    'Lets the view of a rollup read its continuous aggregate. The view leaves out candles that would cross a break.';

-- A column has the same comment in every view of a rollup. The continuous aggregates copy these comments.
DO $$
DECLARE
    rollup rollups;
BEGIN
    FOR rollup IN SELECT * FROM rollups LOOP
        EXECUTE format(
            'COMMENT ON VIEW %I IS %L',
            'ohlcv_' || rollup.name,
            format(
                'Candles of %s that are built from the stored 1m candles. A candle is left out if it has no stored 1m '
                'candle, or if the series has a break within it.',
                rollup.words
            )
        );
        EXECUTE format(
            'COMMENT ON COLUMN %I.open IS %L',
            'ohlcv_' || rollup.name,
            'Open of the first stored 1m candle, in the quote currency.'
        );
        EXECUTE format(
            'COMMENT ON COLUMN %I.close IS %L',
            'ohlcv_' || rollup.name,
            'Close of the last stored 1m candle, in the quote currency.'
        );
        EXECUTE format(
            'COMMENT ON COLUMN %I.volume IS %L',
            'ohlcv_' || rollup.name,
            'Volume in the base currency. It is the exact sum of the volumes, which is rounded once.'
        );
        EXECUTE format(
            'COMMENT ON COLUMN %I.candles IS %L',
            'ohlcv_' || rollup.name,
            'Number of stored 1m candles. If it is smaller than the number of minutes, candles are missing.'
        );
    END LOOP;
END
$$;
