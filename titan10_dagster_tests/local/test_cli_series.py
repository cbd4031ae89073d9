"""The command line of `titan10 series`."""

from __future__ import annotations

import os
import pty
import sys
import time
from contextlib import suppress
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from titan10_dagster.local.cli import main
from titan10_dagster.local.exit_codes import DONE, FAILED, INTERRUPTED
from titan10_dagster.store.database import Database
from titan10_dagster.store.series import stored_series
from titan10_dagster.store.writer import write_slices
from titan10_dagster_tests.store.making import a_slice, judged

SETTINGS = '[exchanges.binance]\nsymbols = ["BTC/USDT"]\nstart = 2024-01-01\n'


@pytest.fixture(autouse=True)
def _stored(database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TITAN10_DATABASE__URL", database_url)
    (tmp_path / "titan10.toml").write_text(SETTINGS)
    database = Database(database_url)
    write_slices(database, [judged(a_slice("BCT/USDT"))])
    database.close()


def titan10(*arguments: str) -> Result:
    return CliRunner().invoke(main, ["series", *arguments], catch_exceptions=False)


def symbols(database_url: str) -> list[str]:
    database = Database(database_url)
    found = [row.symbol for row in stored_series(database)]
    database.close()
    return found


def test_series_are_listed() -> None:
    result = titan10("list")
    assert (result.exit_code, "BCT/USDT" in result.output) == (DONE, True)


def test_without_a_terminal_and_without_yes_nothing_is_deleted(database_url: str) -> None:
    result = titan10("drop", "binance", "BCT/USDT")
    assert (result.exit_code, "Nothing was deleted." in result.output) == (FAILED, True)
    assert symbols(database_url) == ["BCT/USDT"]
    assert titan10("drop", "binance", "BCT/USDT", "--yes").exit_code == DONE
    assert symbols(database_url) == []


def test_a_symbol_is_renamed(database_url: str) -> None:
    assert titan10("rename", "binance", "BCT/USDT", "--to-symbol", "BTC/USDT").exit_code == DONE
    assert symbols(database_url) == ["BTC/USDT"]


def test_ctrl_c_at_the_question_is_an_interruption(database_url: str) -> None:
    """The question needs a terminal, so the command runs in one."""
    pid, terminal = pty.fork()
    if pid == 0:
        os.execv(
            sys.executable, [sys.executable, "-m", "titan10_dagster.local.cli", "series", "drop", "binance", "BCT/USDT"]
        )
    shown = b""
    with suppress(OSError):  # on Linux this means that the other end is closed
        while read := os.read(terminal, 65536):
            shown += read
            if shown.endswith(b"[y/N]: "):
                time.sleep(0.3)  # now the command waits for the answer
                os.write(terminal, b"\x03")
    _, status = os.waitpid(pid, 0)
    os.close(terminal)
    assert os.waitstatus_to_exitcode(status) == INTERRUPTED, shown
    assert b"Interrupted. Nothing was changed." in shown
    assert symbols(database_url) == ["BCT/USDT"]
