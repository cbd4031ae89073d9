"""Digests as archives publish them, and the cache of verified files."""

from __future__ import annotations

import asyncio
from datetime import UTC, date, datetime
from pathlib import Path

import pytest
from tenacity import wait_none

from titan10_dagster.archives.catalog import ArchiveFile, candidates
from titan10_dagster.archives.download import Download, Downloader, FileAbsent, _parse_digest
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.errors import ArchiveError
from titan10_dagster.exchanges.archive_record import Cadence
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.sandbox.server import Sandbox

NOW = datetime(2025, 4, 20, 12, tzinfo=UTC)
SHA, MD5 = "a" * 64, "b" * 32


def a_file() -> ArchiveFile:
    archive = venue_of("binance").archive
    assert archive is not None
    market = Market("binance", "BTC/USDT", "BTCUSDT", "BTC", "USDT", "BTC", "USDT", active=True)
    series = Series("binance", "BTC/USDT", TIMEFRAMES["1m"])
    return candidates(archive, series, market, date(2025, 3, 10), Cadence.DAILY)[0]


def fetch(sandbox: Sandbox, cache: Path) -> Download:
    async def run() -> Download:
        async with Downloader(sandbox.url("binance"), cache, wait=wait_none(), now=lambda: NOW) as downloader:
            return await downloader.fetch(a_file())

    return asyncio.run(run())


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (f"{SHA}  BTC.zip\n", SHA),
        (f"{SHA} *BTC.zip", SHA),
        (f"{MD5}  BTC.zip", MD5),
        (SHA.upper(), SHA),
        (f"{SHA}  ETH.zip", None),
        ("<html>", None),
        ("", None),
        ("abc  BTC.zip", None),
    ],
)
def test_a_published_digest_is_read(text: str, digest: str | None) -> None:
    assert _parse_digest(text.encode(), "BTC.zip") == digest


def test_a_file_is_verified_kept_and_read_from_the_cache(tmp_path: Path) -> None:
    with Sandbox(["binance"], clock=NOW) as sandbox:
        first = fetch(sandbox, tmp_path)
        second = fetch(sandbox, tmp_path)
        assert len(sandbox.files["binance"].served) == 2
    assert (first.cached, second.cached) == (False, True)
    assert second.content == first.content
    assert second.source == first.source
    assert first.source.checked_against == "sha256 file"


def test_a_damaged_file_of_the_cache_is_downloaded_again(tmp_path: Path) -> None:
    with Sandbox(["binance"], clock=NOW) as sandbox:
        fetch(sandbox, tmp_path)
        (kept,) = tmp_path.rglob("*.zip")
        kept.write_bytes(kept.read_bytes()[:100])
        assert not fetch(sandbox, tmp_path).cached


def test_a_passing_failure_is_tried_again(tmp_path: Path) -> None:
    with Sandbox(["binance"], clock=NOW) as sandbox:
        sandbox.files["binance"].defect("unavailable", times=3)
        assert fetch(sandbox, tmp_path).content


def test_an_absent_file_is_an_error_of_its_own(tmp_path: Path) -> None:
    with Sandbox(["binance"], clock=NOW) as sandbox:
        sandbox.files["binance"].defect("missing")
        with pytest.raises(FileAbsent, match="no such file"):
            fetch(sandbox, tmp_path)


def test_a_server_that_is_down_is_named(tmp_path: Path) -> None:
    with Sandbox(["binance"], clock=NOW) as sandbox:
        url = sandbox.url("binance")

    async def run() -> None:
        async with Downloader(url, tmp_path, wait=wait_none(), attempts=2) as downloader:
            await downloader.fetch(a_file())

    with pytest.raises(ArchiveError, match=url):
        asyncio.run(run())
