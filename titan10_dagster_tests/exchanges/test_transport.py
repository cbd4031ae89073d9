"""Hostile answers from real servers, and the memory of a real process that reads them."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
import zlib
from collections.abc import AsyncIterator, Callable

import pytest
import yarl
from aiohttp import web

from titan10_dagster.candles.slices import Series
from titan10_dagster.errors import FetchError, MalformedAnswer, TransientError
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.transport import CANDLES_LIMIT, _is_same_server
from titan10_dagster_tests.cost import seconds_without_core
from titan10_dagster_tests.exchanges.harness import MINUTE, NOW, market, now, run
from titan10_dagster_tests.exchanges.serving import Handler, says, serving, serving_bytes

SYMBOL = "BTC/USDT"
ROW = f'[{int(NOW.timestamp() * 1000)}, "1", "2", "0.5", "1.5", "3"]'
MOST_MEMORY = 400  # MB

# A separate process fetches a page and reports the error and its highest memory.
CLIENT = """
import asyncio, json, sys
from datetime import UTC, datetime
from titan10_dagster.candles.markets import Market
from titan10_dagster.candles.slices import Series
from titan10_dagster.candles.timeframes import Timeframe
from titan10_dagster.exchanges.client import ExchangeClient

async def work(url, what):
    market = Market("binance", "BTC/USDT", "BTCUSDT", "BTC", "USDT", "BTC", "USDT", active=True)
    async with ExchangeClient("binance", [market], base_url=url, paced=False, timeout_ms=20_000) as client:
        series = Series("binance", "BTC/USDT", Timeframe.parse("1m"))
        try:
            if what == "markets":
                await client.fetch_markets()
            else:
                await client.fetch_page(series, datetime(2024, 6, 20, tzinfo=UTC), 1000)
        except Exception as error:
            return type(error).__name__, str(error)
    return "", ""

name, text = asyncio.run(work(*sys.argv[1:]))
# Not ru_maxrss: it counts what the parent process had before this program replaced it.
(peak,) = [line for line in open("/proc/self/status") if line.startswith("VmHWM")]
memory = int(peak.split()[1]) / 1000
print(json.dumps({"error": name, "text": text, "megabytes": memory}))
"""


async def page(url: str, timeout_ms: int = 20_000) -> int:
    async with ExchangeClient(
        "binance", [market("binance", SYMBOL)], base_url=url, paced=False, now=now, timeout_ms=timeout_ms
    ) as client:
        return len((await client.fetch_page(Series("binance", SYMBOL, MINUTE), NOW, 1)).rows)


def from_server(handler: Handler, *, timeout_ms: int = 20_000) -> int:
    """Return the number of rows of a page of this server."""

    async def work() -> int:
        async with serving(handler) as url:
            return await page(url, timeout_ms)

    return run(work())


async def _parts(part: bytes, count: int | None) -> AsyncIterator[bytes]:
    sent = 0
    while count is None or sent < count:
        yield part
        sent += 1


def streams(part: bytes, count: int | None, *, head: bytes = b"", **options: object) -> Handler:
    """Return a handler that sends `head`, and then sends `part` again and again.

    `count`: the number of repetitions; None: endless.
    """

    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json", **options})  # type: ignore[dict-item]
        await response.prepare(request)
        await response.write(head)
        async for piece in _parts(part, count):
            await response.write(piece)
        return response

    return answer


def gzip_bomb() -> tuple[bytes, bytes]:
    """Return the head of a gzip stream, and a part of about 1 kB. Each repetition of the part decompresses to 1 MB."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    head = packer.compress(b"[") + packer.flush(zlib.Z_FULL_FLUSH)
    return head, packer.compress(b" " * (1 << 20)) + packer.flush(zlib.Z_FULL_FLUSH)


HEAD, MEGABYTE = gzip_bomb()
GIGABYTE = 1 << 30
HOSTILE: dict[str, Handler] = {
    "gzip bomb of 1 GB": streams(MEGABYTE, 1024, head=HEAD, **{"Content-Encoding": "gzip"}),
    "body of 1 GB": streams(b" " * 65536, GIGABYTE // 65536, **{"Content-Length": str(GIGABYTE)}),
    "endless chunks": streams(b" " * 65536, None),
    "endless gzip": streams(MEGABYTE, None, head=HEAD, **{"Content-Encoding": "gzip"}),
    "millions of empty lists": streams(b"[]," * 20_000, None, head=b"["),
}


def outcome(handler: Handler, what: str) -> dict[str, object]:
    async def work() -> str:
        async with serving(handler) as url:
            process = await asyncio.create_subprocess_exec(
                sys.executable, "-c", CLIENT, url, what, stdout=subprocess.PIPE
            )
            written, _ = await process.communicate()
            return written.decode()

    return dict(json.loads(run(work())))


@pytest.mark.parametrize("what", ["candles", "markets"])
@pytest.mark.parametrize("kind", HOSTILE)
def test_a_huge_answer_is_malformed_and_fills_no_memory(kind: str, what: str) -> None:
    began = time.monotonic()
    result = outcome(HOSTILE[kind], what)
    assert (result["error"], result["megabytes"]) == ("MalformedAnswer", pytest.approx(0, abs=MOST_MEMORY))
    assert "is larger than" in str(result["text"])
    assert time.monotonic() - began < 20 + 10  # the request ends before its time-out


def test_an_answer_just_within_the_limit_is_read() -> None:
    padded = "[" + ROW + " " * (CANDLES_LIMIT - len(ROW) - 2) + "]"
    assert from_server(says(padded)) == 1
    with pytest.raises(MalformedAnswer, match="larger than 4 MiB"):
        from_server(says(padded + " "))


@pytest.mark.parametrize("blanks", [0, 65_536 - len(ROW) - 2, 1_000_000])
@pytest.mark.parametrize("encoding", ["gzip", "deflate", "raw deflate"])
def test_compressed_answers_are_read(encoding: str, blanks: int) -> None:
    window = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS, "raw deflate": -zlib.MAX_WBITS}[encoding]
    packer = zlib.compressobj(9, zlib.DEFLATED, window)
    body = packer.compress(f"[{ROW}{' ' * blanks}]".encode()) + packer.flush()
    assert from_server(says(body, headers={"Content-Encoding": encoding.split()[-1]})) == 1


@pytest.mark.parametrize("cut", [True, False])
def test_a_damaged_compressed_answer_is_requested_again(cut: bool) -> None:
    packer = zlib.compressobj(9, zlib.DEFLATED, 16 + zlib.MAX_WBITS)
    body = packer.compress(f"[{ROW}]".encode()) + packer.flush()
    damaged = body[:-12] if cut else b"\x1f\x8b\x08" + bytes(50)
    with pytest.raises(TransientError):
        from_server(says(damaged, headers={"Content-Encoding": "gzip"}))


def test_an_encoding_that_was_not_requested_is_malformed() -> None:
    with pytest.raises(MalformedAnswer, match="'br', which was not requested"):
        from_server(says(b"x", headers={"Content-Encoding": "br"}))


def test_of_an_error_answer_only_the_beginning_is_read_and_its_status_counts() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=503, headers={"Content-Type": "text/html"})
        await response.prepare(request)
        async for part in _parts(b"x" * 65536, None):
            await response.write(part)
        return response

    with pytest.raises(FetchError) as caught:
        from_server(answer)
    assert caught.value.status == 503


@pytest.mark.parametrize("pause", [0.05, 30.0])
def test_a_slow_answer_ends_with_the_time_that_a_request_has(pause: float) -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "application/json"})
        await response.prepare(request)
        while True:
            await response.write(b" ")
            await asyncio.sleep(pause)

    began, waited = time.monotonic(), seconds_without_core()
    with pytest.raises(TransientError):
        from_server(answer, timeout_ms=1500)
    seconds = time.monotonic() - began
    assert seconds > 1
    assert seconds - (seconds_without_core() - waited) < 5


def redirecting(to: Callable[[web.BaseRequest], str]) -> Handler:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        if request.path == "/there":
            return web.Response(text=f"[{ROW}]", content_type="application/json")
        return web.Response(status=302, headers={"Location": to(request)})

    return answer


def test_a_redirect_to_another_server_is_refused() -> None:
    reached: list[str] = []

    async def other(request: web.BaseRequest) -> web.StreamResponse:
        reached.append(request.path)
        return web.Response(text=f"[{ROW}]", content_type="application/json")

    async def work() -> int:
        async with serving(other) as foreign:
            there = foreign.replace("127.0.0.1", "localhost") + "/there?token=secret"
            async with serving(redirecting(lambda _: there)) as url:
                return await page(url)

    with pytest.raises(MalformedAnswer, match=r"a redirect to another server.*localhost") as caught:
        run(work())
    assert "secret" not in str(caught.value)
    assert reached == []


@pytest.mark.parametrize(
    ("location", "words"),
    [
        ("http://127.0.0.1:9/there", "another server, which is refused: http://127.0.0.1:9/there"),
        ("http://me:s3cret@api.example.com/there", "another server, which is refused: http://api.example.com/there"),
        ("file:///etc/passwd", "a redirect to file:, which is refused"),
        ("javascript:alert(1)", "a redirect to javascript:, which is refused"),
        ("http://[::1", "a redirect to an address that is not a valid URL"),
    ],
)
def test_a_redirect_to_no_exchange_is_refused(location: str, words: str) -> None:
    with pytest.raises(MalformedAnswer) as caught:
        from_server(redirecting(lambda _: location))
    assert words in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_redirect_may_only_change_to_tls_on_the_usual_ports() -> None:
    url = yarl.URL("http://api.example.com/a")
    assert _is_same_server(url, yarl.URL("https://api.example.com/b"))
    assert not _is_same_server(url, yarl.URL("https://api.example.com:8443/b"))
    assert not _is_same_server(yarl.URL("https://api.example.com/a"), yarl.URL("http://api.example.com/b"))


@pytest.mark.parametrize(
    ("status", "kind"), [(300, MalformedAnswer), (470, FetchError), (524, TransientError), (999, TransientError)]
)
def test_an_empty_list_with_a_status_that_ccxt_does_not_know_is_no_answer(status: int, kind: type[FetchError]) -> None:
    with pytest.raises(kind, match=f"an answer with the HTTP status {status}"):
        from_server(says("[]", status=status))


def head(*lines: str, status: str = "200 OK", version: str = "HTTP/1.1") -> bytes:
    return "\r\n".join((f"{version} {status}", "Content-Type: application/json", *lines, "", "")).encode()


CUT = "the answer is cut short or damaged"
NO_HTTP = "the server's answer is not valid HTTP"


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (head("Content-Length: 500") + b"[]", CUT),
        (head("Transfer-Encoding: chunked") + b"ff\r\n[]", CUT),
        (head("Transfer-Encoding: chunked") + b"zz\r\n[]", NO_HTTP),
        (head("Content-Length: -5") + b"[]", NO_HTTP),
        (head("Content-Length: 1", "Content-Length: 2") + b"[]", NO_HTTP),
        (head(*(f"X-{number}: {'x' * 80}" for number in range(2000))) + b"[]", NO_HTTP),
        (head(f"X: {'x' * 100_000}") + b"[]", NO_HTTP),
        (head(status="0 Odd") + b"[]", NO_HTTP),
        (head(version="ICY") + b"[]", NO_HTTP),
        (b"SSH-2.0-OpenSSH_9.2\r\n", NO_HTTP),
        (b"[]", NO_HTTP),
        (bytes(100_000), NO_HTTP),
    ],
    ids=range(12),
)
def test_an_answer_that_breaks_off_or_is_not_http_names_the_cause(answer: bytes, words: str) -> None:
    async def work() -> int:
        async with serving_bytes(answer) as url:
            return await page(url)

    with pytest.raises(TransientError, match=words):
        run(work())


def test_a_server_that_redirects_without_end_is_named() -> None:
    async def answer(request: web.BaseRequest) -> web.StreamResponse:
        return web.Response(status=302, headers={"Location": f"{request.path}x"})

    with pytest.raises(TransientError, match="the server redirects again and again"):
        from_server(answer)


def test_a_redirect_to_another_path_of_the_same_server_is_followed() -> None:
    assert from_server(redirecting(lambda _: "/there")) == 1


def test_nothing_is_left_of_a_refused_answer() -> None:
    async def work() -> int:
        async with (
            serving(streams(b" " * 65536, None)) as url,
            ExchangeClient("binance", [market("binance", SYMBOL)], base_url=url, paced=False, now=now) as client,
        ):
            for _ in range(3):
                with pytest.raises(MalformedAnswer):
                    await client.fetch_page(Series("binance", SYMBOL, MINUTE), NOW, 1)
            return len(client.ccxt.session.connector._acquired)

    assert run(work()) == 0
