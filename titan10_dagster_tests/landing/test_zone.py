from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import polars
import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st
from pyarrow import parquet

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import FetchedSlice, FetchRecord, Source
from titan10_dagster.candles.frame import COLUMNS, VALUES
from titan10_dagster.candles.slices import Series, Slice, to_ms
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.errors import LandingError
from titan10_dagster.landing.zone import METADATA_KEY, LandingZone
from titan10_dagster_tests.candles import strategies as some
from titan10_dagster_tests.candles.strategies import assert_same
from titan10_dagster_tests.disks import disk_that_ignores_case, small_disk

AT = datetime(2024, 3, 1, 2, 0, 0, 123456, tzinfo=UTC)
SLICE = some.MINUTELY


@pytest.fixture
def zone(tmp_path: Path) -> LandingZone:
    return LandingZone(tmp_path / "landing")


def fetched(candles: Candles, slice_: Slice = SLICE) -> FetchedSlice:
    return FetchedSlice(FetchRecord(slice_, AT, Source.REST, 2, 0, 0.25, True, None), candles)


def written(zone: LandingZone, fetched: FetchedSlice) -> Path:
    """Land the slice, and return the path of its file."""
    return zone.path(zone.write(fetched).record.slice)


def of_symbol(symbol: str, day: date = SLICE.day) -> Slice:
    return Slice(replace(SLICE.series, symbol=symbol), day)


def without_digest(name: str) -> str:
    return re.sub(r"\.[0-9A-F]{8}\.", ".", name)


def files(zone: LandingZone) -> list[str]:
    return sorted(path.name for path in zone.root.rglob("*") if path.is_file())


# --- reading written files -------------------------------------------------------------------------------------


@given(some.raw_candles(SLICE, max_size=40), st.none() | some.instants, st.none() | st.text())
def test_a_slice_comes_back_exactly_as_it_was_landed(
    zone: LandingZone, candles: Candles, horizon: datetime | None, note: str | None
) -> None:
    zone.path(SLICE).unlink(missing_ok=True)
    record = replace(fetched(candles).record, horizon=horizon, note=note)
    zone.write(FetchedSlice(record, candles))
    back = zone.read(SLICE)
    assert back is not None
    assert back.record == zone.record(SLICE) == record
    assert_same(back.candles, candles)
    assert bits(back.candles) == bits(candles)


def bits(candles: Candles) -> bytes:
    """Compare the bits, so that the sign of zero counts. NaN has many bit patterns and is compared above."""
    return np.where(np.isnan(candles.values), 0.0, candles.values).tobytes()


def test_a_slice_without_candles_is_a_file_without_rows(zone: LandingZone) -> None:
    path = written(zone, fetched(Candles.empty()))
    assert parquet.read_metadata(path).num_rows == 0
    back = zone.read(SLICE)
    assert back is not None
    assert_same(back.candles, Candles.empty())


def test_reading_a_slice_that_never_landed_returns_none(zone: LandingZone) -> None:
    assert zone.read(SLICE) is None
    assert zone.record(SLICE) is None
    assert zone.records([SLICE]) == {}


def test_landing_again_replaces(zone: LandingZone) -> None:
    zone.write(fetched(Candles.empty()))
    zone.write(fetched(some.whole_slice(SLICE)))
    zone.write(fetched(some.whole_slice(SLICE)))
    assert candles_of(zone) == 1440
    assert files(zone) == ["BTC-USDT.parquet"]


def candles_of(zone: LandingZone) -> int:
    back = zone.read(SLICE)
    assert back is not None
    return len(back.candles)


def test_a_file_with_candles_that_its_successor_lacks_is_kept_as_evidence(zone: LandingZone) -> None:
    path = written(zone, fetched(some.whole_slice(SLICE)))
    first = path.read_bytes()
    zone.write(fetched(some.whole_slice(SLICE).cut(0, 1000)))
    assert candles_of(zone) == 1000
    (evidence,) = path.parent.glob("BTC-USDT.20240301T020000123456Z.*.parquet.old")
    assert files(zone) == [evidence.name, "BTC-USDT.parquet"]
    assert evidence.read_bytes() == first
    assert list(zone.root.rglob("*.parquet")) == [path]


def broken(candles: Candles, count: int) -> Candles:
    values = candles.values.copy()
    values[4, :count] = -1.0
    return replace(candles, values=values)


def test_rows_from_before_the_horizon_outlive_a_fetch_that_cannot_give_them(zone: LandingZone) -> None:
    whole = some.whole_slice(SLICE)
    given, later = broken(whole.cut(1440 - 658, 1440), 20), AT + timedelta(hours=14)
    zone.write(fetched(given))
    record = replace(fetched(Candles.empty()).record, fetched_at=later, horizon=later - timedelta(hours=12))
    for _ in range(2):
        zone.write(FetchedSlice(record, Candles.empty()))
        back = zone.read(SLICE)
        assert back is not None
        assert_same(back.candles, whole.cut(1440 - 638, 1440))
        assert back.record.note == "638 candles before the horizon were kept from earlier fetches"
    assert [name.partition("Z.")[0] for name in files(zone)] == ["BTC-USDT.20240301T020000123456", "BTC-USDT.parquet"]


def test_a_new_row_wins_over_a_former_one_and_within_reach_nothing_is_carried_over(zone: LandingZone) -> None:
    whole = some.whole_slice(SLICE)
    restated = replace(whole, values=whole.values + np.array([[0], [0], [0], [0], [1]]))
    zone.write(fetched(whole))
    horizon = SLICE.start + timedelta(hours=1)
    part = restated.cut(30, 90)
    zone.write(FetchedSlice(replace(fetched(Candles.empty()).record, horizon=horizon), part))
    back = zone.read(SLICE)
    assert back is not None
    assert_same(back.candles, Candles.joined(whole.cut(0, 30), part))


def test_a_damaged_body_is_renamed_and_counts_as_not_landed(zone: LandingZone) -> None:
    path = written(zone, fetched(some.whole_slice(SLICE)))
    damage(path)
    with structlog.testing.capture_logs() as logs:
        assert zone.read_or_quarantine(SLICE) is None
    assert [log["event"] for log in logs] == ["landed_file_corrupt"]
    assert [without_digest(name) for name in files(zone)] == ["BTC-USDT.parquet.corrupt"]
    assert zone.read_or_quarantine(SLICE) is None


def test_a_damaged_file_does_not_keep_a_slice_from_landing(zone: LandingZone) -> None:
    damage(written(zone, fetched(some.whole_slice(SLICE))))
    zone.write(fetched(Candles.empty()))
    assert [without_digest(name) for name in files(zone)] == ["BTC-USDT.parquet", "BTC-USDT.parquet.corrupt"]


def test_records_are_those_of_the_landed_slices_in_the_order_asked(zone: LandingZone) -> None:
    asked = [of_symbol("C/D"), of_symbol("A/B"), of_symbol("E/F")]
    for slice_ in asked[:2]:
        zone.write(fetched(Candles.empty(), slice_))
    assert list(zone.records(asked).items()) == [(s, fetched(Candles.empty(), s).record) for s in asked[:2]]


@pytest.mark.skipif("TITAN10_TEST_DATA" not in os.environ, reason="real candles: set TITAN10_TEST_DATA")
@pytest.mark.parametrize("name", ["binanceus_BTC-USDT_1m_2023-03.csv.gz", "binance_XRP-ETH_1m_2019-10.csv.gz"])
def test_real_candles_come_back_exactly(zone: LandingZone, name: str) -> None:
    days = some.real_candles(Path(os.environ["TITAN10_TEST_DATA"]), name).by_day()
    for day, candles in days.items():
        path = written(zone, fetched(candles, of_symbol("BTC/USDT", day)))
        assert path.stat().st_size < 30 * len(candles) + 4000
        back = zone.read(of_symbol("BTC/USDT", day))
        assert back is not None
        assert_same(back.candles, candles)


# --- other readers ---------------------------------------------------------------------------------------------


def by_duckdb(path: Path) -> list[dict[str, Any]]:
    answer = duckdb.connect().execute("select *, epoch_ms(time) as ms from read_parquet(?) order by time", [str(path)])
    names = [column[0] for column in answer.description]
    return [dict(zip(names, row, strict=True)) for row in answer.fetchall()]


def by_polars(path: Path) -> list[dict[str, Any]]:
    return polars.read_parquet(path).with_columns(ms=polars.col("time").dt.epoch("ms")).to_dicts()


def by_pandas(path: Path) -> list[dict[Any, Any]]:
    table = pd.read_parquet(path)
    return table.assign(ms=table["time"].astype("int64")).to_dict("records")


@pytest.mark.parametrize("reader", [by_duckdb, by_polars, by_pandas])
def test_other_readers_get_every_column(zone: LandingZone, reader: Callable[[Path], list[dict[str, Any]]]) -> None:
    rows = reader(written(zone, fetched(some.whole_slice(SLICE))))
    assert [row["ms"] for row in rows] == SLICE.grid().astype(np.int64).tolist()
    for row in rows:
        assert (row["exchange"], row["symbol"], row["timeframe"]) == ("binance", "BTC/USDT", "1m")
        assert [row[name] for name in VALUES] == [100.0, 102.0, 98.0, 101.0, 100.0]


def test_a_file_holds_the_documented_types_and_the_record(zone: LandingZone) -> None:
    footer = parquet.read_metadata(written(zone, fetched(some.whole_slice(SLICE))))
    types = {column.name: (column.physical_type, str(column.logical_type)) for column in footer.schema}
    assert list(types) == ["exchange", "symbol", "timeframe", *COLUMNS]
    assert types["symbol"] == ("BYTE_ARRAY", "String")
    assert "isAdjustedToUTC=true, timeUnit=milliseconds" in types["time"][1]
    assert {types[name][0] for name in VALUES} == {"DOUBLE"}
    assert footer.metadata[METADATA_KEY].startswith(b'{"exchange": "binance"')
    assert footer.num_row_groups == 1


# --- names -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "name"),
    [
        ("BTC/USDT", "BTC-USDT.parquet"),
        ("BTC/USDT:USDT", "BTC-USDT_USDT.parquet"),
        ("BTC/USDT:USDT-240628", "BTC-USDT_USDT%2D240628.parquet"),
        ("1000SATS/USDT", "1000SATS-USDT.parquet"),
        ("币安人生/USDT", "币安人生-USDT.parquet"),
        ("A\\B/C", "A%5CB-C.parquet"),
    ],
)
def test_a_symbol_becomes_a_file_name_that_can_be_read(zone: LandingZone, symbol: str, name: str) -> None:
    path = zone.path(of_symbol(symbol))
    assert path == zone.root / "binance" / "1m" / "2024-02-29" / name


@pytest.mark.parametrize(
    "symbol", ["", ".", "..", "../../etc/passwd", ".hidden/USDT", "A\0B", "A\nB", "BTC/USDT ", "X" * 201, "\ud800"]
)
def test_a_symbol_that_makes_no_file_name_is_refused(zone: LandingZone, symbol: str) -> None:
    with pytest.raises(LandingError, match="cannot be a file name"):
        zone.write(fetched(Candles.empty(), of_symbol(symbol)))
    assert not zone.root.exists()


@pytest.mark.parametrize("exchange", ["", "..", "a/b", "Binance", "/tmp", "a\n"])
def test_an_invalid_exchange_id_is_refused(zone: LandingZone, exchange: str) -> None:
    with pytest.raises(LandingError, match="is not the id of an exchange"):
        zone.path(Slice(Series(exchange, "BTC/USDT", Timeframe.parse("1m")), SLICE.day))


def landed_at(zone: LandingZone, symbol: str) -> Path | None:
    try:
        return zone.path(of_symbol(symbol))
    except LandingError:
        return None


@given(st.text("ABab/:-_%.\\2DF5C ~\0éßK", max_size=6), st.text("ABab/:-_%.\\2DF5C ~\0éßK", max_size=6))
def test_no_two_symbols_share_a_file_and_none_leaves_its_folder(one: str, other: str) -> None:
    zone = LandingZone(Path("/somewhere/landing"))
    path = landed_at(zone, one)
    if path is not None:
        assert Path(os.path.normpath(path)) == path
        assert path.parent == zone.root / "binance" / "1m" / "2024-02-29"
        assert (path == landed_at(zone, other)) == (one == other)
        second = landed_at(zone, other)
        # the files also differ on a disk that ignores case and the encoding of accented letters
        if second is not None and one != other:
            assert on_such_a_disk(path) != on_such_a_disk(second)


def on_such_a_disk(path: Path) -> str:
    return unicodedata.normalize("NFKC", path.name).casefold()


class CaseInsensitiveZone(LandingZone):
    """A landing zone on a disk that ignores case: every name is stored in lower case."""

    def path(self, slice_: Slice) -> Path:
        path = super().path(slice_)
        return path.with_name(path.name.lower())


def test_two_symbols_that_differ_in_case_alone_both_land_on_a_disk_that_ignores_case(tmp_path: Path) -> None:
    zone = CaseInsensitiveZone(tmp_path)
    tokenized, other = of_symbol("AAPLx/USD"), of_symbol("AAPLX/USD")
    zone.write(fetched(some.whole_slice(tokenized), tokenized))
    zone.write(fetched(Candles.empty(), other))
    first, second = zone.read(tokenized), zone.read(other)
    assert first is not None
    assert second is not None
    assert (len(first.candles), len(second.candles)) == (1440, 0)
    assert len(files(zone)) == 2


def test_neither_slices_nor_evidence_replace_each_other_on_a_real_disk_that_ignores_case(tmp_path: Path) -> None:
    symbols = ("AAPLx/USD", "AAPLX/USD", "aaplx/usd", "A.B/C", "A-B/C", "BTC/USDT")
    with disk_that_ignores_case(tmp_path) as disk:
        zone = LandingZone(disk)
        for number, symbol in enumerate(symbols):
            slice_ = of_symbol(symbol)
            zone.write(fetched(some.whole_slice(slice_).cut(0, 1000), slice_))
            zone.write(fetched(some.whole_slice(slice_).cut(0, number), slice_))  # the longer file becomes evidence
        read = [zone.read(of_symbol(symbol)) for symbol in symbols]
        assert [back and len(back.candles) for back in read] == list(range(len(symbols)))
        for symbol in symbols:
            path = zone.path(of_symbol(symbol))
            path.write_bytes(symbol.encode())
            assert zone.read_or_quarantine(of_symbol(symbol)) is None
        kinds = sorted(path.suffix for path in disk.rglob("*") if path.is_file())
        assert kinds == [".corrupt"] * len(symbols) + [".old"] * len(symbols)


def test_files_from_before_names_had_digests_are_read_and_replaced(zone: LandingZone) -> None:
    """If the program is updated between landing and storing, no file is lost."""
    slice_ = of_symbol("AAPLx/USD")
    path = written(zone, fetched(some.whole_slice(slice_), slice_))
    former = path.rename(path.with_name("AAPLx-USD.parquet"))
    assert list(zone.records([slice_])) == [slice_]
    back = zone.read(slice_)
    assert back is not None
    assert len(back.candles) == 1440
    zone.write(fetched(some.whole_slice(slice_), slice_))
    assert (former.exists(), path.exists()) == (False, True)
    # On a disk that ignores case, the former name may belong to the other symbol, so the file is not used.
    zone.write(fetched(Candles.empty(), of_symbol("AAPLX/USD")))
    zone.path(of_symbol("AAPLX/USD")).rename(former)
    path.unlink()
    assert zone.read(slice_) is None
    assert former.exists()


def test_all_files_of_a_symbol_are_removed_and_no_file_of_another(zone: LandingZone) -> None:
    others = ("AVAX/USDC.e", "AVAX/USDC.E", "AVAX/USDC", "XAVAX/USD", "AVAX/USDC:USDC")
    for symbol in ("AVAX/USD", *others):
        slice_ = of_symbol(symbol)
        for kept in (1440, 900):  # the longer file becomes evidence
            zone.write(fetched(some.whole_slice(slice_).cut(0, kept), slice_))
    zone.path(of_symbol("AVAX/USDC")).write_bytes(b"garbage")
    zone.read_or_quarantine(of_symbol("AVAX/USDC"))
    left = files(zone)
    assert zone.remove("binance", "AVAX/USD") == 2
    assert zone.remove("binance", "AVAX/USDC") == 2
    assert len(left) - len(files(zone)) == 4
    assert not [name for name in files(zone) if name.startswith(("AVAX-USD.", "AVAX-USDC.2", "AVAX-USDC.parquet"))]
    for symbol in others:
        assert (zone.read(of_symbol(symbol)) is None) == (symbol == "AVAX/USDC")


def test_files_with_former_names_are_removed_if_they_are_of_the_symbol(zone: LandingZone) -> None:
    ours, other = of_symbol("AAPLx/USD"), of_symbol("AAPLX/USD")
    for slice_ in (ours, other):
        zone.write(fetched(some.whole_slice(slice_), slice_))
    # On a disk that ignores case, one of the former names belongs to both symbols.
    former = zone.path(ours).rename(zone.path(ours).with_name("AAPLx-USD.parquet"))
    assert zone.remove("binance", "AAPLx/USD") == 1
    assert not former.exists()
    zone.path(other).rename(former)
    assert zone.remove("binance", "AAPLx/USD") == 0
    assert former.exists()


def test_evidence_is_never_overwritten(zone: LandingZone) -> None:
    """Two replaced files that were fetched at the same instant are kept. Two unreadable files are kept too."""
    for kept in (1440, 1200, 900):
        zone.write(fetched(some.whole_slice(SLICE).cut(0, kept)))
    for garbage in (b"first", b"second"):
        zone.path(SLICE).write_bytes(garbage)
        assert zone.read_or_quarantine(SLICE) is None
    kinds = sorted(name.rpartition(".")[2] for name in files(zone))
    assert kinds == ["corrupt", "corrupt", "old", "old"]


# --- faults ----------------------------------------------------------------------------------------------------


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-200])


def empty_out(path: Path) -> None:
    path.write_bytes(b"")


def fill_with_html(path: Path) -> None:
    path.write_text("<html>not a candle</html>")


def drop_the_record(path: Path) -> None:
    parquet.write_table(parquet.read_table(path).replace_schema_metadata(None), path)


@pytest.mark.parametrize("spoil", [truncate, empty_out, fill_with_html, drop_the_record])
def test_an_unreadable_file_is_named_and_counts_as_not_landed(zone: LandingZone, spoil: Callable[[Path], None]) -> None:
    path = written(zone, fetched(some.whole_slice(SLICE)))
    spoil(path)
    for look in (zone.read, zone.record):
        with pytest.raises(LandingError, match=r"binance BTC/USDT 1m 2024-02-29 is unreadable .* remove .*BTC-USDT"):
            look(SLICE)
    with structlog.testing.capture_logs() as logs:
        assert zone.records([SLICE]) == {}
    assert [(log["event"], log["log_level"]) for log in logs] == [("landed_file_corrupt", "warning")]
    assert [without_digest(name) for name in files(zone)] == ["BTC-USDT.parquet.corrupt"]
    zone.write(fetched(some.whole_slice(SLICE)))
    assert list(zone.records([SLICE])) == [SLICE]


def damage(path: Path) -> None:
    """Flip a bit among the candles; the footer stays valid."""
    chunk = parquet.read_metadata(path).row_group(0).column(5)
    content = bytearray(path.read_bytes())
    content[chunk.data_page_offset + chunk.total_compressed_size - 3] ^= 0x10
    path.write_bytes(content)


def test_a_flipped_bit_in_the_candles_is_noticed(zone: LandingZone) -> None:
    damage(written(zone, fetched(some.whole_slice(SLICE))))
    with pytest.raises(LandingError, match="is unreadable"):
        zone.read(SLICE)


def test_a_file_in_another_slices_place_is_not_taken_for_it(zone: LandingZone) -> None:
    path = written(zone, fetched(Candles.empty()))
    other = of_symbol("BTC/USDT", SLICE.day + timedelta(days=1))
    zone.path(other).parent.mkdir()
    zone.path(other).write_bytes(path.read_bytes())
    with pytest.raises(LandingError, match="it contains binance BTC/USDT 1m 2024-02-29"):
        zone.read(other)


@contextmanager
def full_disk() -> Iterator[None]:
    """Limit files of this process to 512 bytes, as if the disk were full."""
    import resource

    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (512, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, handler)


def test_a_full_disk_leaves_what_was_landed_before_and_no_debris(zone: LandingZone) -> None:
    zone.write(fetched(some.whole_slice(SLICE)))
    with full_disk(), pytest.raises(LandingError, match="cannot land binance BTC/USDT 1m 2024-02-29"):
        zone.write(fetched(Candles.empty()))
    back = zone.read(SLICE)
    assert back is not None
    assert len(back.candles) == 1440
    assert files(zone) == ["BTC-USDT.parquet"]


def test_a_disk_without_room_is_named_with_what_to_do(tmp_path: Path) -> None:
    with small_disk(tmp_path, "4k"):
        (tmp_path / "ballast").write_bytes(bytes(4096))
        with pytest.raises(LandingError, match=r"No space left on device.*\. Free some space on this disk$"):
            LandingZone(tmp_path).write(fetched(some.whole_slice(SLICE)))


WRITES_FOR_EVER = """
import sys
from pathlib import Path
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster_tests.candles import strategies as some
from titan10_dagster_tests.landing.test_zone import fetched
zone, whole = LandingZone(Path(sys.argv[1])), fetched(some.whole_slice(some.MINUTELY))
zone.write(whole)
print("started", flush=True)
while True:
    zone.write(whole)
"""


class Syncs:
    """The files and folders that were synced to the disk, as paths below the landing zone."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root = root
        self.paths: list[str] = []
        self._fsync = os.fsync
        monkeypatch.setattr(os, "fsync", self)

    def __call__(self, descriptor: int) -> None:
        self._fsync(descriptor)
        path = str(Path(f"/proc/self/fd/{descriptor}").readlink())
        self.paths.append("file" if path.endswith(".tmp") else os.path.relpath(path, self._root))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc, so this was NOT tested")
def test_candles_that_an_exchange_deletes_are_on_the_disk_at_once_with_their_folders(
    zone: LandingZone, monkeypatch: pytest.MonkeyPatch
) -> None:
    zone.root.mkdir()
    syncs = Syncs(zone.root, monkeypatch)
    zone.write(fetched(some.whole_slice(SLICE)))
    assert syncs.paths == [], "these candles can be requested again until the fetch ends"

    def write(symbol: str) -> None:
        slice_ = of_symbol(symbol)
        record = replace(fetched(some.whole_slice(slice_), slice_).record, horizon=slice_.start)
        zone.write(FetchedSlice(record, some.whole_slice(slice_)))

    write("ETH/USDT")
    folder = zone.path(SLICE).parent
    above = [os.path.relpath(part, zone.root) for part in (folder.parent.parent, folder.parent)]
    assert syncs.paths == [".", *above, "file", os.path.relpath(folder, zone.root)]
    syncs.paths.clear()
    write("XRP/USDT")
    assert syncs.paths == ["file", os.path.relpath(folder, zone.root)], "each folder is synced once per process"


def test_a_zone_is_synced_as_a_whole(zone: LandingZone) -> None:
    zone.sync()  # nothing was written, and the folder does not exist
    zone.write(fetched(some.whole_slice(SLICE)))
    zone.sync()


def test_a_killed_writer_leaves_a_whole_file(zone: LandingZone) -> None:
    writer = subprocess.Popen(
        [sys.executable, "-c", WRITES_FOR_EVER, str(zone.root)], stdout=subprocess.PIPE, cwd=Path(__file__).parents[2]
    )
    with writer:
        assert writer.stdout is not None
        writer.stdout.readline()
        for _ in range(50):
            assert zone.read(SLICE) is not None
        writer.send_signal(signal.SIGKILL)
    back = zone.read(SLICE)
    assert back is not None
    assert_same(back.candles, some.whole_slice(SLICE))
    debris = [path for path in zone.root.rglob("*.parquet") if path != zone.path(SLICE)]
    assert debris == []


def test_the_raw_rows_of_a_whole_day_may_be_anything_that_candles_hold(zone: LandingZone) -> None:
    start = to_ms(SLICE.start)
    awkward = Candles.from_rows([[start, 1e-320, -0.0, float("inf"), float("nan"), 1.7e308]] * 3 + [[0, 1, 1, 1, 1, 1]])
    zone.write(fetched(awkward))
    back = zone.read(SLICE)
    assert back is not None
    assert_same(back.candles, awkward)
