"""Verified downloads from a real HTTP server, and the cache of verified files."""

from __future__ import annotations

import asyncio
import gzip
import hashlib
from dataclasses import replace
from datetime import UTC, date, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from aiohttp import web
from tenacity import wait_none

from titan10_dagster.archives.catalog import ArchiveFile, candidates
from titan10_dagster.archives.download import DigestMismatch, Download, Downloader, FileAbsent
from titan10_dagster.archives.standing import FileRefused
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series
from titan10_dagster.candles.source_files import FileHeaders, is_replaced
from titan10_dagster.candles.timeframes import TIMEFRAMES
from titan10_dagster.errors import ArchiveError
from titan10_dagster.exchanges.archive_record import Cadence
from titan10_dagster.exchanges.venues.registry import venue_of
from titan10_dagster.sandbox.server import Sandbox

NOW = datetime(2025, 4, 20, 12, tzinfo=UTC)


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


def test_a_file_is_verified_kept_and_read_from_the_cache(tmp_path: Path) -> None:
    with Sandbox(["binance"], clock=NOW) as sandbox:
        first = fetch(sandbox, tmp_path)
        second = fetch(sandbox, tmp_path)
        assert len(sandbox.files["binance"].served) == 2
    assert (first.cached, second.cached) == (False, True)
    assert second.content == first.content
    assert second.source == first.source
    assert first.source.checked_against == "sha256 file"


def test_an_etag_that_is_a_digest_is_checked(tmp_path: Path) -> None:
    archive = venue_of("gate").archive
    assert archive is not None
    market = Market("gate", "BTC/USDT", "BTC_USDT", "BTC", "USDT", "BTC", "USDT", active=True)
    series = Series("gate", "BTC/USDT", TIMEFRAMES["1m"])
    (file,) = candidates(archive, series, market, date(2025, 3, 10), Cadence.DAILY)

    async def run(sandbox: Sandbox) -> Download:
        async with Downloader(sandbox.url("gate"), tmp_path, wait=wait_none(), now=lambda: NOW) as downloader:
            return await downloader.fetch(file)

    with Sandbox(["gate"], clock=NOW) as sandbox:
        sandbox.files["gate"].defect("truncated_bytes", times=2)
        with pytest.raises(DigestMismatch, match="md5"):
            asyncio.run(run(sandbox))
        source = asyncio.run(run(sandbox)).source
    assert source.checked_against == "md5 etag"
    assert source.etag


def head(sandbox: Sandbox, cache: Path, url: str) -> FileHeaders:
    archive = venue_of("binance").archive
    assert archive is not None

    async def run() -> FileHeaders:
        async with Downloader(sandbox.url("binance"), cache, wait=wait_none(), now=lambda: NOW) as downloader:
            assert url.startswith(downloader.url_of(""))
            return await downloader.head(archive, url)

    return asyncio.run(run())


def test_a_head_request_shows_whether_a_file_was_replaced(tmp_path: Path) -> None:
    with Sandbox(["binance"], clock=NOW) as sandbox:
        source = fetch(sandbox, tmp_path).source
        known = FileHeaders(source.size, source.etag, source.last_modified)
        assert head(sandbox, tmp_path, source.url) == known
        sandbox.files["binance"].defect("replaced")
        assert is_replaced(known, head(sandbox, tmp_path, source.url))


def test_a_head_request_for_a_file_that_is_gone(tmp_path: Path) -> None:
    with Sandbox(["binance"], clock=NOW) as sandbox:
        url = fetch(sandbox, tmp_path).source.url
        sandbox.files["binance"].defect("missing")
        with pytest.raises(FileAbsent, match="no longer has this file"):
            head(sandbox, tmp_path, url)
        sandbox.files["binance"].clear()
        sandbox.files["binance"].defect("forbidden")
        with pytest.raises(FileRefused, match="refuses to serve"):
            head(sandbox, tmp_path, url)
        sandbox.files["binance"].clear()
        sandbox.files["binance"].defect("unavailable", times=2)
        assert head(sandbox, tmp_path, url).size


def test_a_file_is_forgotten_by_its_url(tmp_path: Path) -> None:
    with Sandbox(["binance"], clock=NOW) as sandbox:
        url = fetch(sandbox, tmp_path).source.url
        downloader = Downloader(sandbox.url("binance"), tmp_path)
        assert downloader.is_cached(a_file())
        downloader.forget(url)
        assert not downloader.is_cached(a_file())


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


@pytest.mark.parametrize(
    ("status", "body", "error"),
    [
        (403, b"<Error><Code>AccessDenied</Code></Error>", FileAbsent),
        (404, b"", FileAbsent),
        (403, b"<html>Your address is blocked</html>", FileRefused),
        (451, b"", FileRefused),
    ],
)
def test_the_body_of_a_403_of_bitget_shows_whether_the_file_exists(
    tmp_path: Path, status: int, body: bytes, error: type[ArchiveError]
) -> None:
    archive = venue_of("bitget").archive
    assert archive is not None
    market = Market("bitget", "BTC/USDT", "BTCUSDT", "BTC", "USDT", "BTC", "USDT", active=True)
    series = Series("bitget", "BTC/USDT", TIMEFRAMES["1m"])
    (file,) = candidates(archive, series, market, date(2025, 3, 10), Cadence.DAILY)

    async def run() -> None:
        app = web.Application()
        app.router.add_get("/{path:.*}", answer)
        runner = web.AppRunner(app)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        try:
            async with Downloader(f"http://{host}:{port}", tmp_path, wait=wait_none()) as downloader:
                await downloader.fetch(file)
        finally:
            await runner.cleanup()

    async def answer(_: web.Request) -> web.Response:
        return web.Response(status=status, body=body)

    with pytest.raises(error, match=f"HTTP {status}"):
        asyncio.run(run())


def test_a_name_with_other_letters_is_quoted(tmp_path: Path) -> None:
    """Binance lists a pair with a Chinese name."""
    downloader = Downloader("https://archive", tmp_path)
    assert downloader.url_of("data/\u5e01\u5b89/1m.zip") == "https://archive/data/%E5%B8%81%E5%AE%89/1m.zip"


def test_a_server_that_is_down_is_named(tmp_path: Path) -> None:
    with Sandbox(["binance"], clock=NOW) as sandbox:
        url = sandbox.url("binance")

    async def run() -> None:
        async with Downloader(url, tmp_path, wait=wait_none(), attempts=2) as downloader:
            await downloader.fetch(a_file())

    with pytest.raises(ArchiveError, match=url):
        asyncio.run(run())


class Compressing(BaseHTTPRequestHandler):
    """A mirror that compresses texts if the client accepts this, as many web servers and caches do."""

    content = b"a file"

    def do_GET(self) -> None:
        body, encoding = self.content, None
        if self.path.endswith(".CHECKSUM"):
            name = self.path.rpartition("/")[2].removesuffix(".CHECKSUM")
            body = f"{hashlib.sha256(self.content).hexdigest()}  {name}\n".encode()
            if "gzip" in self.headers.get("Accept-Encoding", ""):
                body, encoding = gzip.compress(body), "gzip"
        self.send_response(200)
        if encoding:
            self.send_header("Content-Encoding", encoding)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Log nothing."""


class Lacking(Compressing):
    """An archive without files. Its error page says so, and is compressed."""

    def do_GET(self) -> None:
        body = b"<Error><Code>NoSuchKey</Code></Error>"
        self.send_response(403 if self.path.endswith("zip") else 404)
        if "gzip" in self.headers.get("Accept-Encoding", ""):
            body = gzip.compress(body)
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


def test_an_absent_file_is_known_by_a_compressed_error_page(tmp_path: Path) -> None:
    file = a_file()
    file = replace(file, archive=replace(file.archive, absent={403: "NoSuchKey", 404: ""}))
    with pytest.raises(FileAbsent):
        from_server(Lacking, tmp_path, file)


def from_server(handler: type[BaseHTTPRequestHandler], cache: Path, file: ArchiveFile) -> Download:
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:

            async def run() -> Download:
                async with Downloader(f"http://127.0.0.1:{server.server_port}", cache, wait=wait_none()) as downloader:
                    return await downloader.fetch(file)

            return asyncio.run(run())
        finally:
            server.shutdown()
            thread.join()


def test_a_mirror_that_compresses_texts_can_be_used(tmp_path: Path) -> None:
    assert from_server(Compressing, tmp_path, a_file()).source.checked_against == "sha256 file"
