from __future__ import annotations

from datetime import date, timedelta

from titan10_dagster.store.database import Database
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import DAY, Sql, a_slice, candles, judged, with_value, without

LATEST = 'SELECT exchange, symbol, timeframe, "time", open, high, low, close, volume FROM latest ORDER BY 1, 2, 3'
NEWEST = """SELECT DISTINCT ON (exchange, symbol, timeframe)
    exchange, symbol, timeframe, "time", open, high, low, close, volume
    FROM ohlcv ORDER BY exchange, symbol, timeframe, "time" DESC"""


def put_some(db: Database) -> None:
    """Store series of three timeframes that end in three different weeks. One series has a hole at its end."""
    for exchange, symbol, day, timeframe in (
        ("binance", "BTC/USDT", DAY, "1m"),
        ("binance", "BTC/USDT", DAY, "1d"),
        ("binance", "ETH/USDT", DAY - timedelta(days=40), "1m"),
        ("okx", "BTC/USDT", date(2019, 12, 31), "1h"),
    ):
        write_slices(db, [judged(a_slice(symbol, day, exchange, timeframe))])
    quiet = a_slice("PEPE/USDT", DAY, "kraken")
    write_slices(db, [judged(quiet, without(candles(quiet), *range(700, 1440)))])


def test_it_has_the_newest_candle_of_every_series_whenever_that_was(db: Database, sql: Sql) -> None:
    put_some(db)
    found = sql(LATEST)
    assert found == sql(NEWEST)
    assert len(found) == 5


def test_it_is_empty_where_nothing_is_stored(db: Database, sql: Sql) -> None:
    assert sql(LATEST) == []


def test_it_follows_new_and_rewritten_candles(db: Database, sql: Sql) -> None:
    slice_ = a_slice()
    write_slices(db, [judged(slice_)])
    changed = with_value(candles(slice_), 1439, volume=7.25)
    write_slices(db, [judged(slice_, changed, fetched_at=judged(slice_).record.fetched_at + timedelta(hours=7))])
    assert sql.one("SELECT volume FROM latest") == 7.25
    write_slices(db, [judged(a_slice(day=DAY + timedelta(days=1)))])
    assert sql(LATEST) == sql(NEWEST)


def test_it_reads_compressed_chunks_as_well(timescaledb: Database) -> None:
    sql = Sql(timescaledb)
    put_some(timescaledb)
    before = sql(LATEST)
    sql("SELECT compress_chunk(chunk) FROM show_chunks('candles') AS chunk")
    assert sql(LATEST) == before == sql(NEWEST)


def test_it_does_not_depend_on_the_sessions_time_zone(db: Database, sql: Sql) -> None:
    put_some(db)
    with db.transaction() as cursor:
        cursor.execute("SET LOCAL timezone = 'America/New_York'")
        cursor.execute(LATEST)
        assert cursor.fetchall() == sql(NEWEST)


def test_a_read_only_role_can_read_the_view(db: Database) -> None:
    put_some(db)
    with db.transaction() as cursor:
        cursor.execute("GRANT titan10_reader TO CURRENT_USER")
        cursor.execute("SET LOCAL ROLE titan10_reader")
        cursor.execute("SELECT count(*) FROM latest")
        assert cursor.fetchone() == (5,)
