"""Files that a user downloaded are landed. A backfill of their days then checks and stores the candles."""

from __future__ import annotations

import zipfile
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from titan10_dagster.archives.parsing import NAMES
from titan10_dagster.ingest.importing import import_files
from titan10_dagster.store.database import Database
from titan10_dagster_tests.world import MakeWorld, World, make_world  # noqa: F401

FIRST, LAST = date(2024, 1, 8), date(2024, 1, 12)


def rows_of(database: Database, query: str) -> list[tuple[object, ...]]:
    with database.transaction() as cursor:
        cursor.execute(query)
        return [tuple(row) for row in cursor.fetchall()]


def kraken(make_world: MakeWorld) -> World:  # noqa: F811
    return make_world({"kraken": ["BTC/USD"]})


def ohlcvt(folder: Path, rows: np.ndarray) -> Path:
    """Write a zip file like Kraken's, and return its path.

    It has a file for each pair and timeframe, with only the minutes with trades.
    """
    lines = [f"{int(time) // 1000},{o!r},{h!r},{low!r},{c!r},{v!r},7" for time, o, h, low, c, v in rows.tolist()]
    path = folder / "Kraken_OHLCVT.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("XBTUSD_1.csv", "\n".join(lines) + "\n")
        archive.writestr("XBTUSD_5.csv", "0,1,1,1,1,1,1\n")
        archive.writestr("ETHUSD_1.csv", "0,1,1,1,1,1,1\n")
    return path


def history(world: World) -> np.ndarray:
    """Return candles from six days. Every tenth minute has no trade."""
    start, end = datetime(2024, 1, 8, tzinfo=UTC), datetime(2024, 1, 13, tzinfo=UTC)
    rows = world.sandbox.truth("kraken", "BTC/USD", start, end)
    return rows[rows[:, 0] // 60_000 % 10 != 5]


def test_a_day_beyond_the_horizon_is_complete_after_an_import(make_world: MakeWorld, tmp_path: Path) -> None:  # noqa: F811
    world = kraken(make_world)
    assert not world.backfill("kraken", FIRST, LAST).failed
    ledger = "SELECT sum(present) AS present, sum(beyond_horizon) AS horizon, sum(no_trades) AS quiet FROM slice_ledger"
    assert rows_of(world.titan10.database, ledger) == [(0, 5 * 1440, 0)]
    archive = ohlcvt(tmp_path, history(world))
    (imported,) = import_files(world.titan10, "kraken", [archive], symbol=None, columns=(*NAMES, ""))
    assert (imported.symbol, imported.first, imported.last, imported.landed) == ("BTC/USD", FIRST, LAST, 5)
    assert not world.backfill("kraken", FIRST, LAST).failed
    assert np.array_equal(world.stored("kraken", "BTC/USD", FIRST, LAST), history(world))
    [(present, horizon, no_trades)] = rows_of(world.titan10.database, ledger)
    assert (present, horizon, no_trades) == (5 * 1296, 0, 5 * 144)
    [(source, url)] = rows_of(world.titan10.database, "SELECT DISTINCT source, url FROM provenance")
    assert source == "import"
    assert str(url).startswith("file://")
    assert str(url).endswith("Kraken_OHLCVT.zip#XBTUSD_1.csv")


def test_importing_again_changes_nothing(make_world: MakeWorld, tmp_path: Path) -> None:  # noqa: F811
    world = kraken(make_world)
    archive = ohlcvt(tmp_path, history(world))
    for _ in range(2):
        import_files(world.titan10, "kraken", [archive], symbol=None, columns=(*NAMES, ""))
        assert not world.backfill("kraken", FIRST, LAST).failed
    assert np.array_equal(world.stored("kraken", "BTC/USD", FIRST, LAST), history(world))
    assert rows_of(world.titan10.database, "SELECT count(*) FROM restatements") == [(0,)]


def test_a_file_of_no_configured_symbol_is_refused(make_world: MakeWorld, tmp_path: Path) -> None:  # noqa: F811
    world = kraken(make_world)
    other = tmp_path / "DOGEUSD_1.csv"
    other.write_text("1704672000,1,1,1,1,1,1\n")
    known = tmp_path / "XBTUSD_1.csv"
    known.write_text(other.read_text())
    unknown, imported = import_files(world.titan10, "kraken", [other, known], symbol=None, columns=(*NAMES, ""))
    assert "belongs to a configured symbol of kraken" in str(unknown.error)
    assert (imported.error, imported.candles) == (None, 1)


def test_a_zip_file_without_a_file_of_the_symbol_is_refused(make_world: MakeWorld, tmp_path: Path) -> None:  # noqa: F811
    world = kraken(make_world)
    names, tables = tmp_path / "names.zip", tmp_path / "tables.zip"
    with zipfile.ZipFile(names, "w") as archive:
        archive.writestr("a.csv", "1704672000,1,1,1,1,1\n")
        archive.writestr("b.csv", "1704672000,1,1,1,1,1\n")
    with zipfile.ZipFile(tables, "w") as archive:
        archive.writestr("XBTUSD_1.parquet", "")
    done = import_files(world.titan10, "kraken", [names, tables], symbol="BTC/USD", columns=NAMES)
    assert "no name of a file in it contains BTC/USD and the timeframe 1m" in str(done[0].error)
    assert "without a .csv or .txt file. It contains XBTUSD_1.parquet" in str(done[1].error)


def test_a_file_that_is_not_a_table_is_refused(make_world: MakeWorld, tmp_path: Path) -> None:  # noqa: F811
    world = kraken(make_world)
    page = tmp_path / "XBTUSD_1.csv"
    page.write_text("<html><body>Sign in</body></html>\n")
    (imported,) = import_files(world.titan10, "kraken", [page], symbol=None, columns=NAMES)
    assert imported.landed == 0
    assert "header" in str(imported.error)


def test_a_damaged_file_does_not_end_the_import_of_the_files_after_it(make_world: MakeWorld, tmp_path: Path) -> None:  # noqa: F811
    world = make_world({"kraken": ["ADA/USD", "BTC/USD", "ETH/USD"]})
    path, no_zip, other = tmp_path / "Kraken_OHLCVT.zip", tmp_path / "Kraken_Q4.zip", tmp_path / "ETHUSD_1.csv"
    row = "1704672000,1,1,1,1,1,1\n"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("XBTUSD_1.csv", "BROKEN" + row)
        archive.writestr("ADAUSD_1.csv", row)
    path.write_bytes(path.read_bytes().replace(b"BROKEN", b"1.0000"))  # does not match the CRC any more
    no_zip.write_bytes(path.read_bytes()[:60] + path.read_bytes()[-22:])
    other.write_text(row)
    done = import_files(world.titan10, "kraken", [path, no_zip, other], symbol=None, columns=(*NAMES, ""))
    assert [(imported.symbol, imported.landed) for imported in done] == [
        ("BTC/USD", 0),
        ("ADA/USD", 1),
        (None, 0),
        ("ETH/USD", 1),
    ]
    errors = [imported.error for imported in done]
    assert "Bad CRC-32" in str(errors[0])
    assert f"{no_zip} cannot be read" in str(errors[2])
    assert (errors[1], errors[3]) == (None, None)


def binance(make_world: MakeWorld) -> World:  # noqa: F811
    return make_world({"binance": ["BTC/USDT"]})


def csv_of(path: Path, rows: np.ndarray) -> Path:
    path.write_text(
        "".join(f"{int(time)},{o!r},{h!r},{low!r},{c!r},{v!r}\n" for time, o, h, low, c, v in rows.tolist())
    )
    return path


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0)])
def test_days_that_begin_in_another_time_zone_are_put_together(
    make_world: MakeWorld,  # noqa: F811
    tmp_path: Path,
    order: tuple[int, ...],
) -> None:
    """Each file has a day in UTC+8, so each UTC day is in two files."""
    world = binance(make_world)
    begins = [datetime(2024, 1, day, 16, tzinfo=UTC) for day in (7, 8, 9, 10)]
    files = []
    for number in range(3):
        rows = world.sandbox.truth("binance", "BTC/USDT", begins[number], begins[number + 1])
        files.append(csv_of(tmp_path / f"{number}.csv", rows))
    paths = [files[number] for number in order]
    import_files(world.titan10, "binance", paths, symbol="BTC/USDT", columns=NAMES)
    days = world.titan10.slices("binance", [date(2024, 1, 8), date(2024, 1, 9)])
    for slice_ in days:
        landed = world.titan10.landing.read(slice_)
        assert landed is not None
        assert landed.record.answered
        assert len(landed.candles) == 1440
    assert not world.backfill("binance", date(2024, 1, 8), date(2024, 1, 9)).failed
    truth = world.sandbox.truth(
        "binance", "BTC/USDT", datetime(2024, 1, 8, tzinfo=UTC), datetime(2024, 1, 10, tzinfo=UTC)
    )
    assert np.array_equal(world.stored("binance", "BTC/USDT", date(2024, 1, 8), date(2024, 1, 9)), truth)
    found = rows_of(world.titan10.database, "SELECT stretch_start, stretch_end, url FROM provenance ORDER BY 1")
    assert [(start, end, str(url).rpartition("/")[2]) for start, end, url in found] == [
        (datetime(2024, 1, 8, tzinfo=UTC), begins[1], "0.csv"),
        (begins[1], begins[2], "1.csv"),
        (begins[2], datetime(2024, 1, 10, tzinfo=UTC), "2.csv"),
    ]


def test_where_two_files_overlap_the_later_import_is_the_source(make_world: MakeWorld, tmp_path: Path) -> None:  # noqa: F811
    """The second file begins earlier. It lacks 14:00, so this candle stays as it is in the first file."""
    world = binance(make_world)
    start = datetime(2024, 1, 8, tzinfo=UTC)
    hours = [start + timedelta(hours=hour) for hour in (0, 12, 14, 18, 24)]
    rows = world.sandbox.truth("binance", "BTC/USDT", start, hours[-1])
    later = csv_of(tmp_path / "later.csv", rows[12 * 60 :])
    changed = rows[: 18 * 60].copy()
    changed[:, 5] += 1
    earlier = csv_of(tmp_path / "earlier.csv", np.delete(changed, 14 * 60, axis=0))
    for path in (later, earlier):
        import_files(world.titan10, "binance", [path], symbol="BTC/USDT", columns=NAMES)
    assert not world.backfill("binance", FIRST).failed
    stored = world.stored("binance", "BTC/USDT", FIRST, FIRST)
    expected = np.concatenate((changed, rows[18 * 60 :]))
    expected[14 * 60] = rows[14 * 60]
    assert np.array_equal(stored, expected)
    found = rows_of(world.titan10.database, "SELECT stretch_start, stretch_end, url FROM provenance ORDER BY 1")
    minute = timedelta(minutes=1)
    assert [(start, end, str(url).rpartition("/")[2]) for start, end, url in found] == [
        (hours[0], hours[2], "earlier.csv"),
        (hours[2], hours[2] + minute, "later.csv"),
        (hours[2] + minute, hours[3], "earlier.csv"),
        (hours[3], hours[4], "later.csv"),
    ]


def test_a_lost_line_is_not_a_minute_without_trades(make_world: MakeWorld, tmp_path: Path) -> None:  # noqa: F811
    """Kraken's files leave out minutes without trades. But a line that cannot be read is possibly a candle."""
    world = kraken(make_world)
    archive = ohlcvt(tmp_path, history(world))
    with zipfile.ZipFile(archive) as packed:
        lines = packed.read("XBTUSD_1.csv").decode().splitlines()
    lines[100] = lines[100].replace(",", ";")
    archive.unlink()
    path = tmp_path / "XBTUSD_1.csv"
    path.write_text("\n".join(lines))
    (imported,) = import_files(world.titan10, "kraken", [path], symbol=None, columns=(*NAMES, ""))
    assert imported.unreadable == 1
    world.backfill("kraken", FIRST, LAST)
    ledger = "SELECT no_trades, beyond_horizon, present FROM slice_ledger ORDER BY day LIMIT 1"
    assert rows_of(world.titan10.database, ledger) == [(0, 145, 1295)]


def test_days_that_are_not_imported_are_counted(make_world: MakeWorld, tmp_path: Path) -> None:  # noqa: F811
    world = binance(make_world)
    start = world.titan10.exchange("binance").start
    path = tmp_path / "old.csv"
    first = datetime(start.year, start.month, start.day, tzinfo=UTC)
    rows = np.array([[first.timestamp() * 1000 - 60_000 * minute, 1, 2, 0.5, 1.5, 3] for minute in range(10, 0, -1)])
    csv_of(path, rows)
    (imported,) = import_files(world.titan10, "binance", [path], symbol="BTC/USDT", columns=NAMES)
    assert (imported.landed, imported.left_out, imported.start) == (0, 1, start)


@pytest.mark.parametrize("symbol", [None, "OLD/USD"])
def test_files_of_a_pair_that_the_exchange_no_longer_lists_are_found_by_name(
    make_world: MakeWorld,  # noqa: F811
    tmp_path: Path,
    symbol: str | None,
) -> None:
    """Kraken's files also contain the pairs that Kraken has delisted."""
    world = make_world({"kraken": ["BTC/USD", "OLD/USD"]})
    path = tmp_path / "Kraken_OHLCVT.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("OLDUSD_1.csv", "1704672000,1,1,1,1,1,1\n")
        archive.writestr("OLDUSD_5.csv", "1704672000,1,1,1,1,1,1\n")
    (imported,) = import_files(world.titan10, "kraken", [path], symbol=symbol, columns=(*NAMES, ""))
    assert (imported.symbol, imported.candles) == ("OLD/USD", 1)


def test_the_header_of_the_exchanges_own_files_is_understood(make_world: MakeWorld, tmp_path: Path) -> None:  # noqa: F811
    """In files of HTX, `vol` is the volume in the quote currency, and `amount` is the volume in the base currency."""
    world = make_world({"htx": ["BTC/USDT"]})
    path = tmp_path / "BTCUSDT-1min-2024-01-08.csv"
    path.write_text("id,open,close,high,low,vol,amount\n1704672000,40000,40000,40000,40000,120000,3\n")
    import_files(world.titan10, "htx", [path], symbol="BTC/USDT", columns=NAMES)
    (slice_,) = world.titan10.slices("htx", [FIRST])
    landed = world.titan10.landing.read(slice_)
    assert landed is not None
    assert landed.candles.volume.tolist() == [3]
