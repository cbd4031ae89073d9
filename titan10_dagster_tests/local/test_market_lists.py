"""The market lists of new exchanges are read at the start, so that the UI shows no warning at the first click."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from titan10_dagster import settings as titan10_settings
from titan10_dagster.local.graphql import materialized
from titan10_dagster.local.market_lists import read_missing_lists
from titan10_dagster.local.stack import Stack
from titan10_dagster.sandbox.server import Sandbox
from titan10_dagster_tests.databases import passable_folder

PROJECT = Path(__file__).parents[2]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
WARNING = "may fail because the upstream assets listed below have not been materialized yet"
SETTINGS = """
data = "data"
[server]
port = 0
postgres_port = 0
[exchanges.binance]
symbols = ["BTC/USDT"]
start = 2024-01-01
base_url = "{binance}"
[exchanges.bybit]
symbols = ["BTC/USDT"]
start = 2024-01-01
base_url = "{bybit}"
"""


@dataclass
class Started:
    """A stack that has just started, with its announcements."""

    url: str
    said: list[str]
    sandbox: Sandbox


@pytest.fixture(scope="module")
def started() -> Iterator[Started]:
    """A stack with two exchanges. One exchange answers no request."""
    said: list[str] = []
    with passable_folder() as home, Sandbox(["binance", "bybit"]) as sandbox:
        sandbox.fault("bybit", "http_403", path="any")
        shutil.copy(PROJECT / "dagster.yaml", home)
        (home / "titan10.toml").write_text(SETTINGS.format(binance=sandbox.url("binance"), bybit=sandbox.url("bybit")))
        stack = Stack(titan10_settings.load(home), home, said.append)
        try:
            stack.start()
            stack.announce()
            yield Started(stack.url, said, sandbox)
        finally:
            stack.stop()


def test_the_start_reads_the_lists_and_says_which_could_not_be_read(started: Started) -> None:
    keys = [("binance", "markets"), ("bybit", "markets")]
    assert materialized(started.url, keys) == {keys[0]: True, keys[1]: False}
    assert "Reading the market lists of binance, bybit ..." in started.said
    (failed,) = [sentence for sentence in started.said if "were not read" in sentence]
    assert failed.startswith("The market lists of bybit were not read")
    assert started.said[-1].startswith("Titan-10 is up")


def test_a_list_that_was_read_is_not_read_again(started: Started) -> None:
    started.sandbox.clear_requests("binance")
    said: list[str] = []
    assert read_missing_lists(started.url, ["binance"], said.append, go_on=lambda: True) == []
    assert said == []
    assert started.sandbox.requests("binance") == []


def test_a_ui_that_does_not_answer_delays_nothing() -> None:
    assert read_missing_lists("http://127.0.0.1:1", ["binance"], pytest.fail, go_on=lambda: True) == []


def dialog_after_materialize(url: str, exchange: str, picture: Path) -> str:
    """Select candles and ohlcv of an exchange, click Materialize, and return the text of the dialog that opens."""
    playwright: Any = pytest.importorskip("playwright.sync_api", reason="no playwright, so this was NOT tested")
    if CHROMIUM is None:
        pytest.skip("no Chromium, so this was NOT tested")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1500, "height": 900})
        page.goto(f"{url}/assets/{exchange}/candles")
        page.get_by_role("button", name="Materialize").first.click()
        dialog = page.get_by_role("dialog")
        dialog.wait_for()
        page.wait_for_timeout(1000)
        page.screenshot(path=str(picture))
        text = str(dialog.inner_text())
        browser.close()
    return text


def pictures(tmp_path: Path) -> Path:
    """The folder of the screenshots. If `TITAN10_TEST_PICTURES` is set, the screenshots are kept there."""
    folder = Path(os.environ.get("TITAN10_TEST_PICTURES", tmp_path))
    with suppress(FileExistsError):
        folder.mkdir(parents=True)
    return folder


def test_the_first_click_needs_no_warning(started: Started, tmp_path: Path) -> None:
    text = dialog_after_materialize(started.url, "binance", pictures(tmp_path) / "first-click.png")
    assert WARNING not in text
    assert "partition" in text.lower()


def test_without_its_list_an_exchange_gets_the_warning(started: Started, tmp_path: Path) -> None:
    text = dialog_after_materialize(started.url, "bybit", pictures(tmp_path) / "warning.png")
    assert WARNING in text
    assert "bybit / markets" in text
