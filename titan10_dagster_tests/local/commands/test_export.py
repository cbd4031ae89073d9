"""Exports, read with the libraries that users read them with."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
import pytest
from pydantic import SecretStr

from titan10_dagster.candles.fetched import Source
from titan10_dagster.candles.gaps import Reason
from titan10_dagster.candles.source_files import SourceFile
from titan10_dagster.errors import SettingsError, Titan10Error
from titan10_dagster.ingest.context import IngestContext
from titan10_dagster.landing.zone import LandingZone
from titan10_dagster.local.commands import export as export_command
from titan10_dagster.local.commands.export import Request, run_export
from titan10_dagster.local.export_formats import FORMATS
from titan10_dagster.settings import DatabaseSettings, Settings
from titan10_dagster.store import reader, rollups
from titan10_dagster.store.database import Database
from titan10_dagster.store.outages import classify_outages
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.disks import disk_that_ignores_case
from titan10_dagster_tests.json_fields import documented_fields
from titan10_dagster_tests.store.making import DAY, FETCHED, LATER, a_slice, candles, judged, with_value, without

BTC, ETH = a_slice(), a_slice("ETH/USDT")
NEXT = DAY + timedelta(days=1)
NOW = datetime(2024, 6, 1, tzinfo=UTC)

Export = Callable[..., int]


# Only exports that the two databases read in different ways are tested with both.
BOTH = pytest.mark.parametrize("url", ["database_url", "timescaledb_database_url"], indirect=True)


@pytest.fixture
def url(request: pytest.FixtureRequest) -> str:
    return str(request.getfixturevalue(getattr(request, "param", "database_url")))


@pytest.fixture
def db(url: str) -> Iterator[Database]:
    database = Database(url)
    yield database
    database.close()


@pytest.fixture
def messages() -> list[str]:
    return []


@pytest.fixture
def export(url: str, tmp_path: Path, messages: list[str]) -> Export:
    settings = Settings(data=tmp_path / "data", database=DatabaseSettings(url=SecretStr(url)))

    def run(form: str = "parquet", *, now: datetime = NOW, as_json: bool = False, **changes: object) -> int:
        request = Request("binance", DAY, DAY, (), "1m", FORMATS[form], tmp_path / "out")
        return run_export(settings, replace(request, **changes), messages.append, now=now, as_json=as_json)  # type: ignore[arg-type]

    return run


def files(tmp_path: Path) -> list[str]:
    return sorted(path.name for path in (tmp_path / "out").iterdir())


def test_parquet_holds_what_is_stored(db: Database, export: Export, tmp_path: Path, messages: list[str]) -> None:
    write_slices(db, [judged(BTC), judged(ETH)])
    assert export() == 0
    assert files(tmp_path) == ["binance-BTC-USDT-1m.parquet", "binance-ETH-USDT-1m.parquet"]
    read = pd.read_parquet(tmp_path / "out/binance-BTC-USDT-1m.parquet")
    pd.testing.assert_frame_equal(read, candles(BTC))
    assert not [sentence for sentence in messages if "INCOMPLETE" in sentence]


def test_csv_holds_the_same_doubles(db: Database, export: Export, tmp_path: Path) -> None:
    write_slices(db, [judged(BTC)])
    assert export("csv") == 0
    path = tmp_path / "out/binance-BTC-USDT-1m.csv"
    assert path.read_text().startswith('"time","open","high","low","close","volume"\n2024-01-10 00:00:00Z,')
    read = pd.read_csv(path, parse_dates=["time"])
    pd.testing.assert_frame_equal(read.astype({"time": "datetime64[ms, UTC]"}), candles(BTC))


def test_freqtrade_gets_its_own_file_name_columns_and_types(db: Database, export: Export, tmp_path: Path) -> None:
    write_slices(db, [judged(BTC)])
    assert export("freqtrade") == 0
    read = pd.read_feather(tmp_path / "out/BTC_USDT-1m.feather")
    pd.testing.assert_frame_equal(read, candles(BTC).rename(columns={"time": "date"}))


def test_vectorbt_gets_a_frame_with_an_index_of_times(db: Database, export: Export, tmp_path: Path) -> None:
    write_slices(db, [judged(BTC)])
    assert export("vectorbt") == 0
    read = pd.read_parquet(tmp_path / "out/binance-BTC-USDT-1m.vectorbt.parquet")
    assert (read.index.name, str(read.index.dtype)) == ("Open time", "datetime64[ns, UTC]")
    assert list(read.columns) == ["Open", "High", "Low", "Close", "Volume"]
    assert read["Close"].tolist() == candles(BTC)["close"].tolist()


@pytest.mark.parametrize("form", FORMATS)
def test_pieces_make_one_file(
    db: Database, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, form: str
) -> None:
    write_slices(db, [judged(BTC), judged(a_slice(day=NEXT))])
    assert export(form, last=NEXT, folder=tmp_path / "whole") == 0
    monkeypatch.setattr(export_command, "CANDLES_A_PIECE", 700)
    assert export(form, last=NEXT) == 0
    (path,) = (tmp_path / "out").iterdir()
    read = {"csv": pd.read_csv, "freqtrade": pd.read_feather}.get(form, pd.read_parquet)
    pd.testing.assert_frame_equal(read(path), read(tmp_path / "whole" / path.name))
    assert len(read(path)) == 2880


@BOTH
@pytest.mark.parametrize("timeframe", ["5m", "1h", "1d"])
def test_longer_candles_come_from_the_rollups(db: Database, export: Export, tmp_path: Path, timeframe: str) -> None:
    write_slices(db, [judged(BTC)])
    rollups.catch_up(db)
    assert export(timeframe=timeframe) == 0
    read = pd.read_parquet(tmp_path / f"out/binance-BTC-USDT-{timeframe}.parquet")
    pd.testing.assert_frame_equal(read, reader.bars(db, BTC.series, timeframe, BTC.start, BTC.end))


def test_only_weeks_that_lie_wholly_within_are_exported(db: Database, export: Export, tmp_path: Path) -> None:
    slices = [a_slice(day=DAY + timedelta(days=n)) for n in range(14)]  # the first day is a Wednesday
    write_slices(db, map(judged, slices))
    rollups.catch_up(db)
    assert export(timeframe="1w", last=slices[-1].day) == 0
    read = pd.read_parquet(tmp_path / "out/binance-BTC-USDT-1w.parquet")
    assert (read["time"].dt.day.tolist(), read["candles"].tolist()) == ([15], [7 * 1440])


@BOTH
def test_missing_candles_are_reported_by_reason_and_the_file_is_incomplete(
    db: Database, export: Export, messages: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_slices(db, [judged(BTC, without(candles(BTC), 5, 6)), judged(ETH)])
    assert export(last=NEXT, as_json=True, symbols=("BTC/USDT",)) == 1
    (report,) = json.loads(capsys.readouterr().out)
    assert set(report) == documented_fields("`titan10 export --json`")
    assert (report["rows"], report["expected"], report["whole"]) == (1438, 2880, False)
    assert report["missing"] == {"unknown": 2, "never_fetched": 1440}
    assert "INCOMPLETE: BTC/USDT." in messages[-1]
    assert "titan10 backfill binance --from 2024-01-10 --to 2024-01-11" in messages[-1]


def test_minutes_without_trades_do_not_make_a_file_incomplete(
    db: Database, export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = without(candles(BTC), 5, 6)
    for look in range(2):
        write_slices(db, [judged(BTC, rows, fetched_at=FETCHED + look * LATER)])
    assert reader.missing(db, BTC.series, BTC.start, BTC.end) == {Reason.NO_TRADES: 2}
    assert export() == 0
    assert "2 no_trades" in capsys.readouterr().out


def test_a_halt_is_named_and_does_not_make_a_file_incomplete(
    db: Database, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    halted = [*range(100, 130)]
    write_slices(db, [judged(a_slice(exchange="okx"))])
    for look in range(2):
        write_slices(db, [judged(BTC, without(candles(BTC), *halted), fetched_at=FETCHED + look * LATER)])
        classify_outages(db)
    assert reader.missing(db, BTC.series, BTC.start, BTC.end) == {Reason.HALTED: 30}
    assert export() == 0
    assert "30 halted" in capsys.readouterr().out
    assert export(as_json=True, force=True) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert (report["rows"], report["missing"], report["whole"]) == (1410, {"halted": 30}, True)
    read = pd.read_parquet(tmp_path / "out/binance-BTC-USDT-1m.parquet")
    pd.testing.assert_frame_equal(read, without(candles(BTC), *halted).reset_index(drop=True))


def test_a_time_without_a_listing_is_named_and_does_not_make_a_file_incomplete(
    db: Database, export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    write_slices(db, [judged(BTC), judged(a_slice(day=NEXT), candles(a_slice(day=NEXT)).iloc[:0])])
    with db.transaction() as cursor:
        cursor.execute("UPDATE gaps SET reason = 'not_listed', observations = 2")
        cursor.execute("UPDATE slice_ledger SET unknown = 0, not_listed = unknown WHERE day = %s", [NEXT])
    assert export(last=NEXT, as_json=True) == 0
    (report,) = json.loads(capsys.readouterr().out)
    assert (report["rows"], report["missing"], report["whole"]) == (1440, {"not_listed": 1440}, True)


def test_candles_that_span_a_hole_are_counted(db: Database, export: Export, capsys: pytest.CaptureFixture[str]) -> None:
    write_slices(db, [judged(BTC, without(candles(BTC), *range(5, 70)))])
    rollups.catch_up(db)
    assert export(timeframe="1h") == 1
    shown = capsys.readouterr().out
    assert "65 unknown; 2 of the candles span a gap" in shown


def test_of_a_day_that_runs_only_whole_candles_count(
    db: Database, export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    write_slices(db, [judged(BTC, candles(BTC).iloc[:75])])
    rollups.catch_up(db)
    at = BTC.start + timedelta(minutes=75, seconds=30)
    export(timeframe="1h", now=at, as_json=True)
    (one,) = json.loads(capsys.readouterr().out)
    assert (one["rows"], one["with_holes"], one["expected"], one["whole"]) == (1, 0, 60, True)


def test_a_file_that_is_there_stays_unless_forced(db: Database, export: Export, tmp_path: Path) -> None:
    write_slices(db, [judged(BTC), judged(ETH)])
    there = tmp_path / "out/binance-ETH-USDT-1m.parquet"
    there.parent.mkdir()
    there.write_text("mine")
    with pytest.raises(
        SettingsError, match=r"ETH-USDT-1m.parquet: the file exists. Nothing was written; --force replaces it"
    ):
        export()
    assert (files(tmp_path), there.read_text()) == ([there.name], "mine")
    assert export(force=True) == 0
    assert len(pd.read_parquet(there)) == 1440


def test_an_export_that_breaks_off_leaves_no_file(
    db: Database, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_slices(db, [judged(BTC)])
    read = reader.candles_arrow

    def breaks_off(db: Database, *rest: object, **more: object) -> pa.Table:
        if rest[1] != BTC.start:
            raise KeyboardInterrupt
        return read(db, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(export_command, "CANDLES_A_PIECE", 700)
    monkeypatch.setattr(reader, "candles_arrow", breaks_off)
    with pytest.raises(KeyboardInterrupt):
        export()
    assert files(tmp_path) == []


def test_a_folder_that_cannot_be_written_is_named(db: Database, export: Export, tmp_path: Path) -> None:
    write_slices(db, [judged(BTC)])
    (tmp_path / "file").write_text("")
    with pytest.raises(Titan10Error, match=r"file/binance-BTC-USDT-1m.parquet cannot be written: .*--out"):
        export(folder=tmp_path / "file")
    with pytest.raises(Titan10Error, match=r"cannot be written: File name too long. Choose another folder with --out."):
        export(folder=tmp_path / ("x" * 300))


def test_the_last_day_may_lie_as_far_ahead_as_a_date_can(
    db: Database, export: Export, capsys: pytest.CaptureFixture[str]
) -> None:
    write_slices(db, [judged(BTC)])
    assert export(last=date.max, now=BTC.end, as_json=True) == 0
    assert json.loads(capsys.readouterr().out)[0]["end"] == BTC.end.isoformat()


@pytest.mark.parametrize("timeframe", ["1m", "1w"])
def test_years_without_candles_take_no_time(
    db: Database, export: Export, capsys: pytest.CaptureFixture[str], timeframe: str
) -> None:
    write_slices(db, [judged(a_slice(day=DAY + timedelta(days=n))) for n in range(-9, 10)])
    began = time.monotonic()
    assert export(first=date.min, last=date.max, timeframe=timeframe, as_json=True) == 1
    assert time.monotonic() - began < 10  # one query for each month would take minutes
    (exported,) = json.loads(capsys.readouterr().out)
    assert exported["rows"] == {"1m": 19 * 1440, "1w": 3}[timeframe]
    assert exported["present"] == 19 * 1440


def test_a_file_that_is_not_replaced_for_lack_of_candles_is_named(
    db: Database, export: Export, tmp_path: Path, messages: list[str]
) -> None:
    write_slices(db, [judged(BTC)])
    export()
    before = {path: path.read_bytes() for path in (tmp_path / "out").iterdir()}
    export(first=date(2020, 1, 1), last=date(2020, 1, 2), force=True)
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == before
    assert (
        f"{next(iter(before))} is from an earlier export. It stays, because this export has no candle of BTC/USDT."
        in messages
    )


@BOTH
def test_an_export_as_of_an_instant_has_the_values_of_then(db: Database, export: Export, tmp_path: Path) -> None:
    write_slices(db, [judged(BTC)])
    write_slices(db, [judged(BTC, with_value(candles(BTC), 5, volume=7.5), fetched_at=FETCHED + LATER)])
    assert export(as_of=FETCHED) == 0
    path = tmp_path / "out/binance-BTC-USDT-1m.parquet"
    pd.testing.assert_frame_equal(pd.read_parquet(path), candles(BTC))
    assert export(as_of=FETCHED + LATER, force=True) == 0
    assert pd.read_parquet(path).loc[5, "volume"] == 7.5
    with pytest.raises(SettingsError, match="use --timeframe 1m with --as-of"):
        export(as_of=FETCHED, timeframe="1h")


@BOTH
def test_longer_candles_are_those_of_the_minutes_as_they_are_now(db: Database, export: Export, tmp_path: Path) -> None:
    write_slices(db, [judged(BTC)])
    rollups.catch_up(db)
    write_slices(db, [judged(BTC, with_value(candles(BTC), 0, high=99_999.0), fetched_at=FETCHED + LATER)])
    assert export(timeframe="5m") == 0
    assert pd.read_parquet(tmp_path / "out/binance-BTC-USDT-5m.parquet").loc[0, "high"] == 99_999.0


def test_an_export_warns_when_it_may_not_refresh_the_rollups(
    timescaledb_database_url: str, tmp_path: Path, messages: list[str]
) -> None:
    reading = Database(f"{timescaledb_database_url}?options=-crole%3Dtitan10_reader")
    titan10 = IngestContext(Settings(data=tmp_path), reading, LandingZone(tmp_path))
    export_command.catch_up(titan10, messages.append)
    reading.close()
    (sentence,) = messages
    assert "The last minutes may be missing in longer candles" in sentence
    assert "must be owner" in sentence


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"exchange": "okx"}, "okx: nothing of it is stored; allowed are binance"),
        ({"exchange": "binace"}, r"binace: nothing of it is stored; did you mean binance\?"),
        ({"symbols": ("BTC/USD",)}, r"binance BTC/USD: nothing of it is stored; did you mean BTC/USDT\?"),
        ({"first": NOW.date() + timedelta(days=1), "last": date.max}, "--from 2024-06-02 is in the future"),
        ({"timeframe": "2h"}, "--timeframe 2h cannot be built from 1m; choose one of 1m, 5m"),
    ],
)
def test_what_is_not_stored_is_refused(db: Database, export: Export, changes: dict[str, object], sentence: str) -> None:
    write_slices(db, [judged(BTC)])
    with pytest.raises(SettingsError, match=sentence):
        export(**changes)


def test_where_nothing_is_stored_yet_it_says_what_to_do(export: Export) -> None:
    with pytest.raises(SettingsError, match="Nothing is stored yet: run `titan10 backfill` first"):
        export()


def test_a_range_without_a_candle_makes_no_file(db: Database, export: Export, tmp_path: Path) -> None:
    write_slices(db, [judged(BTC)])
    assert export(first=date(2020, 1, 1), last=date(2020, 1, 2)) == 1
    assert not (tmp_path / "out").exists()


def test_a_row_group_is_no_larger_than_a_piece(
    db: Database, export: Export, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_slices(db, map(judged, [a_slice(day=DAY + timedelta(days=n)) for n in range(3)]))
    monkeypatch.setattr(export_command, "CANDLES_A_PIECE", 2000)
    assert export(last=DAY + timedelta(days=2)) == 0
    groups = pq.ParquetFile(tmp_path / "out/binance-BTC-USDT-1m.parquet").metadata
    assert [groups.row_group(n).num_rows for n in range(groups.num_row_groups)] == [2000, 2000, 320]


@pytest.mark.parametrize(
    ("form", "symbols"),
    [("freqtrade", ("USDC.E/USDT", "USDC_E/USDT")), ("freqtrade", ("AAPLx/USD", "AAPLX/USD"))],
)
def test_two_series_that_a_foreign_format_gives_one_file_are_refused_before_anything_is_written(
    db: Database, export: Export, tmp_path: Path, form: str, symbols: tuple[str, str]
) -> None:
    write_slices(db, [judged(a_slice(symbol)) for symbol in symbols])
    with pytest.raises(SettingsError, match=r"would share the file .* Nothing was written\."):
        export(form)
    assert not (tmp_path / "out").exists()
    for number, symbol in enumerate(symbols):  # each symbol can be exported alone
        assert export(form, symbols=(symbol,), folder=tmp_path / str(number)) == 0


@pytest.mark.parametrize("form", ["parquet", "csv", "vectorbt"])
def test_our_own_formats_give_every_series_a_file_of_its_own(
    db: Database, export: Export, tmp_path: Path, form: str
) -> None:
    symbols = ("A-B/C", "A/B-C", "USDC.E/USDT", "USDC_E/USDT", "AAPLx/USD", "AAPLX/USD")
    write_slices(db, [judged(a_slice(symbol)) for symbol in symbols])
    assert export(form) == 0
    assert len({name.casefold() for name in files(tmp_path)}) == len(symbols)


@pytest.mark.parametrize("form", FORMATS)
def test_no_file_replaces_another_on_a_real_disk_that_ignores_case(
    db: Database, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    symbols = ("A-B/C", "A/B-C", "AAPLx/USD", "AAPLX/USD")
    slices = {symbol: a_slice(symbol) for symbol in symbols}
    write_slices(db, [judged(slice_, candles(slice_).iloc[: n + 1]) for n, slice_ in enumerate(slices.values())])
    with disk_that_ignores_case(tmp_path) as disk:
        if form == "freqtrade":  # its names cannot distinguish these symbols
            with pytest.raises(SettingsError, match=r"would share the file .* Nothing was written\."):
                export(form, symbols=("AAPLx/USD", "AAPLX/USD"), folder=disk)
            assert list(disk.iterdir()) == []
            return
        export(form, folder=disk, as_json=True)
        exported = json.loads(capsys.readouterr().out)
        read = pd.read_csv if form == "csv" else pd.read_parquet
        rows = {series["symbol"]: len(read(series["file"])) for series in exported}
        assert rows == dict(zip(symbols, (1, 2, 3, 4), strict=True))
        assert len(list(disk.iterdir())) == len(symbols)
        with pytest.raises(SettingsError, match="the file exists"):
            export(form, folder=disk)


@pytest.mark.parametrize("form", ["parquet", "freqtrade", "vectorbt"])
def test_a_file_names_the_sources_of_its_candles(
    db: Database, export: Export, tmp_path: Path, capsys: pytest.CaptureFixture[str], form: str
) -> None:
    url = "https://example.com/BTCUSDT-1m-2024-01-10.zip"
    origin = SourceFile(url, 1000, "sha256:abc", None, "sha256 file", None, None, FETCHED, BTC.start, BTC.end)
    write_slices(db, [judged(BTC, files=(origin,), source=Source.ARCHIVE)])
    assert export(form, as_json=True) == 0
    (exported,) = json.loads(capsys.readouterr().out)
    path = Path(exported["file"])
    read = pa.feather.read_table if form == "freqtrade" else pq.read_table
    about = json.loads(read(path).schema.metadata[b"titan10"])
    assert about["files"] == exported["files"]
    assert (about["exchange"], about["symbol"], about["timeframe"]) == ("binance", "BTC/USDT", "1m")
    (stretch,) = about["files"]
    assert (stretch["url"], stretch["source"], stretch["digest"]) == (url, "archive", "sha256:abc")
    assert (stretch["from"], stretch["to"]) == (BTC.start.isoformat(), BTC.end.isoformat())
    assert len(pd.read_feather(path) if form == "freqtrade" else pd.read_parquet(path)) == 1440
