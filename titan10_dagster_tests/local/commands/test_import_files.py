"""`titan10 import` stores the candles of a user's files. Candles that were stored before do not change."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster_tests.ingest.test_importing import ohlcvt
from titan10_dagster_tests.json_fields import documented_fields
from titan10_dagster_tests.local.test_cli import NOW, Project, project

__all__ = ["project"]

SETTINGS = """
[exchanges.kraken]
symbols = ["BTC/USD"]
start = 2024-01-01
base_url = "{url}"
"""
START, END = datetime(2024, 1, 8, tzinfo=UTC), datetime(2024, 1, 10, tzinfo=UTC)


@pytest.fixture
def kraken() -> Iterator[Sandbox]:
    """A world with an exchange that no longer serves the days of the file."""
    with Sandbox(["kraken"], clock=NOW) as sandbox:
        yield sandbox


@pytest.fixture
def working(project: Project, kraken: Sandbox, database_url: str) -> Project:
    (project.folder / "titan10.toml").write_text(SETTINGS.format(url=kraken.url("kraken")))
    project.environment["TITAN10_DATABASE__URL"] = database_url
    return project


@pytest.fixture
def archive(kraken: Sandbox, tmp_path: Path) -> Path:
    return ohlcvt(tmp_path, kraken.truth("kraken", "BTC/USD", START, END))


def test_the_candles_of_a_file_are_stored_and_a_second_import_changes_nothing(working: Project, archive: Path) -> None:
    command = ("import", "kraken", str(archive), "--columns", "time,open,high,low,close,volume,")
    first = working.titan10(*command, "--json")
    assert first.returncode == 0, first.stderr
    report = json.loads(first.stdout)
    assert set(report) == documented_fields("`titan10 backfill --json`") | {"files"}
    assert [(file["from"], file["to"], file["days"]) for file in report["files"]] == [("2024-01-08", "2024-01-09", 2)]
    assert f"{archive}: XBTUSD_1.csv: BTC/USD, 2024-01-08 to 2024-01-09" in first.stderr
    (row,) = json.loads(working.titan10("coverage", "--json").stdout)
    assert (row["first"], row["last"], row["stored"]) == ("2024-01-08", "2024-01-09", 2880)
    again = working.titan10(*command, "--json")
    assert again.returncode == 0, again.stderr
    document = json.loads(again.stdout)
    assert set(document) == documented_fields("`titan10 import --json`")
    (file,) = document["files"]
    assert set(file) == documented_fields("`files` of `titan10 import --json`")
    assert (file["symbol"], file["days"], file["days_complete_before"]) == ("BTC/USD", 0, 2)


def test_a_file_of_an_unknown_symbol_has_an_exit_code_and_a_reason(working: Project, tmp_path: Path) -> None:
    file = tmp_path / "DOGEUSD_1.csv"
    file.write_text("1704672000,1,1,1,1,1\n")
    done = working.titan10("import", "kraken", str(file))
    assert done.returncode == 1
    assert "belongs to a configured symbol of kraken" in done.stderr


def test_a_damaged_member_of_a_zip_file_is_reported_and_the_other_members_are_stored(
    working: Project, kraken: Sandbox, archive: Path
) -> None:
    settings = SETTINGS.format(url=kraken.url("kraken")).replace('["BTC/USD"]', '["BTC/USD", "ETH/USD"]')
    (working.folder / "titan10.toml").write_text(settings)
    with zipfile.ZipFile(archive) as packed, zipfile.ZipFile(archive.with_name("new.zip"), "w") as new:
        new.writestr("ETHUSD_1.csv", "<html>\n")
        new.writestr("XBTUSD_1.csv", packed.read("XBTUSD_1.csv"))
    done = working.titan10("import", "kraken", str(archive.with_name("new.zip")), "--json")
    assert done.returncode == 1, done.stderr
    report = json.loads(done.stdout)
    assert (report["exit_code"], report["stored"]) == (1, 2880)
    assert [(file["symbol"], file["days"]) for file in report["files"]] == [("ETH/USD", 0), ("BTC/USD", 2)]
    assert "new.zip: ETHUSD_1.csv: the header has no column for time: <html>. Nothing is used." in done.stderr
    assert "new.zip: XBTUSD_1.csv: BTC/USD, 2024-01-08 to 2024-01-09" in done.stderr


def test_columns_without_a_volume_are_refused(working: Project, archive: Path) -> None:
    done = working.titan10("import", "kraken", str(archive), "--columns", "time,open,high,low,close")
    assert done.returncode == 2
    assert "--columns lacks volume" in done.stderr


def test_a_file_without_a_usable_day_is_no_success_and_what_was_left_out_is_reported(
    working: Project, tmp_path: Path
) -> None:
    file = tmp_path / "XBTUSD_1.csv"
    file.write_text("1672531200,1,1,1,1,1\ngarbage\n")
    done = working.titan10("import", "kraken", str(file))
    assert done.returncode == 1, done.stderr
    assert "days left out: 1 (they are before the exchange's start in the settings, 2024-01-01" in done.stderr
    assert "; left out: 1 line that cannot be read." in done.stderr
