"""The proof of `titan10 demo`, which compares stored candles with the sandbox. `make demo` runs the whole demo."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import urlopen

import pandas as pd
import pytest

from titan10_dagster.candles.columns import Candles
from titan10_dagster.candles.fetched import Source
from titan10_dagster.candles.slices import Series, Slice, to_ms
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.errors import SettingsError
from titan10_dagster.local.commands.demo import (
    QUOTES,
    Verdict,
    _archive_sentence,
    _by_source,
    _compare,
    _conclusion,
    _faults,
    _make_project,
    _refused_requests,
    run_demo,
)
from titan10_dagster.local.stack import demo_folder
from titan10_dagster.local.stack_lock import StackLock
from titan10_dagster.sandbox import truth
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster.settings import ExchangeSettings, Settings
from titan10_dagster.store.database import Database
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import judged, with_value, without

DAY = date(2024, 2, 1)
SLICE = Slice(Series("binance", "BTC/USDT", TIMEFRAMES["1m"]), DAY)
SUCCEEDED = {"run": "SUCCESS"}
SETTINGS = Settings(
    exchanges={"binance": ExchangeSettings(symbols=("BTC/USDT",), start=DAY, base_url="http://127.0.0.1:9")}
)


@pytest.fixture
def db(database_url: str) -> Iterator[Database]:
    database = Database(database_url)
    yield database
    database.close()


def true_candles() -> pd.DataFrame:
    rows = truth.candles("binance", "BTC/USDT", to_ms(SLICE.start), to_ms(SLICE.end))
    return Candles.from_rows(rows).to_pandas()


def compare(db: Database) -> Verdict:
    return _compare(db, SETTINGS, "binance", [DAY])


def test_candles_that_equal_the_truth_pass(db: Database) -> None:
    write_slices(db, [judged(SLICE, true_candles())])
    verdict = compare(db)
    assert verdict == Verdict(right=1440, wrong=0, lost=0, beyond=0)
    assert verdict.passed


def test_one_wrong_value_fails_the_demo(db: Database) -> None:
    rows = true_candles()
    write_slices(db, [judged(SLICE, with_value(rows, 700, volume=rows["volume"][700] + 1.0))])
    verdict = compare(db)
    assert verdict == Verdict(right=1439, wrong=1, lost=0, beyond=0)
    assert not verdict.passed
    faults = _faults({"binance": verdict}, SUCCEEDED, [], 0)
    assert faults == ["binance: 1 candles are wrong, 0 are lost."]
    assert _conclusion({"binance": verdict}, faults, 60.0) == f"The demo failed. {faults[0]}"


def test_a_candle_that_is_not_stored_is_lost(db: Database) -> None:
    write_slices(db, [judged(SLICE, without(true_candles(), 3, 4))])
    assert compare(db) == Verdict(right=1438, wrong=0, lost=2, beyond=0)


def test_candles_older_than_the_horizon_do_not_count_as_lost(db: Database) -> None:
    horizon = SLICE.start + timedelta(hours=1)
    write_slices(db, [judged(SLICE, without(true_candles(), *range(60)), horizon=horizon)])
    verdict = compare(db)
    assert verdict == Verdict(right=1380, wrong=0, lost=0, beyond=60)
    assert verdict.passed


RIGHT = {"binance": Verdict(right=1440, wrong=0, lost=0, beyond=0)}


def test_a_failed_run_fails_the_demo_even_if_the_candles_are_right() -> None:
    assert _faults(RIGHT, {"run": "FAILURE"}, [], 0) == ["1 of 1 runs failed."]
    assert _faults(RIGHT, {}, [], 0) == ["The backfill started no run."]
    assert _faults(RIGHT, SUCCEEDED, [], 0) == []
    assert _conclusion(RIGHT, [], 60.0).startswith("All 1,440 stored candles equal")


def test_a_failed_check_or_a_refused_request_fails_the_demo_too() -> None:
    faults = _faults(RIGHT, SUCCEEDED, ["kraken/candles complete"], 3)
    assert faults == [
        "Asset checks failed: kraken/candles complete.",
        "The exchanges refused 3 requests because there were too many.",
    ]


def test_refused_requests_are_counted_in_the_sandboxs_log(tmp_path: Path) -> None:
    log = tmp_path / "requests.jsonl"
    with Sandbox(["binance"], log=log) as sandbox:
        url = sandbox.url("binance") + "/api/v3/ping"
        urlopen(url, timeout=30).close()
        assert _refused_requests(log) == 0
        sandbox.fault("binance", "http_429", path="any")
        with pytest.raises(HTTPError, match="429") as refused:
            urlopen(url, timeout=30)
        refused.value.close()
        assert _refused_requests(log) == 1


def test_a_second_demo_is_refused_and_leaves_the_files_of_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TITAN10_HOME", str(tmp_path))
    folder = demo_folder(tmp_path)
    folder.mkdir(parents=True)
    (folder / "of the first").touch()
    lock = StackLock(folder)
    lock.sign("http://127.0.0.1:3000")
    with pytest.raises(SettingsError, match=r"A demo is already running, as process \d+ at http://127\.0\.0\.1:3000"):
        run_demo(lambda _: None)
    assert (folder / "of the first").exists()
    lock.release()


def test_a_port_that_is_not_a_number_is_refused_with_its_variable(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in [name for name in os.environ if name.startswith("TITAN10_")]:
        monkeypatch.delenv(variable)  # restores the variable after the test
    monkeypatch.setenv("TITAN10_HOME", str(open_folder))
    monkeypatch.setenv("TITAN10_SERVER__PORT", "UI")
    monkeypatch.setenv("titan10_database__url", "postgresql://127.0.0.1:9/not-of-the-demo")
    urls = dict.fromkeys(QUOTES, "http://127.0.0.1:9")
    with pytest.raises(SettingsError, match=r"^server\.port \(set by TITAN10_SERVER__PORT\): must be a whole number$"):
        _make_project(open_folder, open_folder, urls, date(2024, 1, 1))


def test_slices_from_the_archive_are_counted(db: Database) -> None:
    assert _by_source(db, [DAY]) == (0, 0)
    write_slices(db, [judged(SLICE, true_candles(), source=Source.ARCHIVE)])
    assert _by_source(db, [DAY]) == (1, 0)
    assert _archive_sentence(12, 8).startswith("12 slices of binance came from the files of its archive")
