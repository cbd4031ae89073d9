from __future__ import annotations

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import ccxt
import pytest
from aiohttp import web
from multidict import CIMultiDict

from titan10_dagster.candles.slices import Series
from titan10_dagster.errors import (
    Banned,
    FetchError,
    Maintenance,
    MalformedAnswer,
    Refused,
    Throttled,
    TransientError,
    Unavailable,
    UnknownSymbol,
)
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.failures import LONGEST_REST, classify
from titan10_dagster_tests.exchanges.harness import FIVE, MINUTE, NOW, market, now, plain, run
from titan10_dagster_tests.exchanges.serving import Handler, says, serving, serving_bytes

SYMBOLS = {"coinbase": "BTC/USD", "kraken": "BTC/USD", "gemini": "BTC/USD"}
HTML = "<html><body>Just a moment...</body></html>"


async def ask(exchange: str, url: str, timeout_ms: int = 60_000) -> FetchError:
    """Return the error of one request for a page."""
    symbol = SYMBOLS.get(exchange, "BTC/USDT")
    known = [market(exchange, symbol) if exchange in FIVE else plain(exchange, symbol)]
    async with ExchangeClient(exchange, known, base_url=url, paced=False, now=now, timeout_ms=timeout_ms) as client:
        with pytest.raises(FetchError) as caught:
            await client.fetch_page(Series(exchange, symbol, MINUTE), NOW - timedelta(days=1), 100)
    return caught.value


def failure(exchange: str, handler: Handler) -> FetchError:
    async def work() -> FetchError:
        async with serving(handler) as url:
            return await ask(exchange, url)

    return run(work())


# Real error answers of each exchange (documentation, ccxt's tests), through its real ccxt class and real HTTP.
SAID: list[tuple[str, int, str, type[FetchError]]] = [
    ("binance", 429, '{"code":-1003,"msg":"Too much request weight used"}', Throttled),
    ("binance", 418, '{"code":-1003,"msg":"IP banned"}', Banned),
    ("binance", 451, '{"code":0,"msg":"Service unavailable from a restricted location"}', Refused),
    ("binance", 403, HTML, Banned),
    ("binanceus", 403, HTML, Banned),
    ("binance", 400, '{"code":-1121,"msg":"Invalid symbol."}', UnknownSymbol),
    ("binance", 400, '{"code":-1100,"msg":"Illegal characters found in parameter"}', FetchError),
    ("binance", 503, '{"code":-1008,"msg":"Server is currently overloaded with other requests."}', TransientError),
    ("binance", 500, HTML, TransientError),
    ("binance", 502, HTML, TransientError),
    ("binance", 504, HTML, TransientError),
    ("binance", 523, HTML, TransientError),
    ("binance", 404, HTML, FetchError),
    ("binance", 200, HTML, MalformedAnswer),
    ("binance", 200, "", MalformedAnswer),
    ("binance", 200, '[[1718000000000,"1","1","1', MalformedAnswer),
    ("binance", 200, "{}", MalformedAnswer),
    ("binance", 200, '{"data":null}', MalformedAnswer),
    ("binance", 200, '[{"a":1}]', MalformedAnswer),
    ("binance", 200, "[17]", MalformedAnswer),
    ("binance", 200, "true", MalformedAnswer),
    ("coinbase", 429, '{"error":"rate_limit_exceeded","message":"Too many requests"}', Throttled),
    ("coinbase", 404, '{"error":"NOT_FOUND","error_details":"valid product_id is required"}', UnknownSymbol),
    ("coinbase", 400, '{"error":"INVALID_ARGUMENT","error_details":"ProductID is invalid"}', UnknownSymbol),
    ("coinbase", 400, '{"error":"INVALID_ARGUMENT","error_details":"too many candles"}', FetchError),
    ("coinbase", 404, HTML, FetchError),
    ("coinbase", 401, "Unauthorized", Refused),
    ("coinbase", 403, HTML, Refused),
    ("coinbase", 503, HTML, TransientError),
    ("coinbase", 503, "<html>We are down for maintenance</html>", Maintenance),
    ("coinbase", 200, "{}", MalformedAnswer),
    ("coinbase", 200, '{"candles":null}', MalformedAnswer),
    ("coinbase", 200, '{"candles":[null]}', MalformedAnswer),
    ("coinbase", 200, HTML, MalformedAnswer),
    ("kraken", 200, '{"error":["EQuery:Unknown asset pair"]}', UnknownSymbol),
    ("kraken", 200, '{"error":["EGeneral:Temporary lockout"]}', Banned),
    ("kraken", 200, '{"error":["EGeneral:Too many requests"]}', Throttled),
    ("kraken", 200, '{"error":["EAPI:Rate limit exceeded"]}', Throttled),
    ("kraken", 200, '{"error":["EService:Unavailable"]}', Maintenance),
    ("kraken", 200, '{"error":["EService:Busy"]}', TransientError),
    ("kraken", 200, '{"error":["EGeneral:Invalid arguments"]}', FetchError),
    ("kraken", 200, '{"error":[],"result":{}}', MalformedAnswer),
    ("kraken", 200, '{"error":[],"result":null}', MalformedAnswer),
    ("kraken", 520, HTML, TransientError),
    ("kraken", 403, HTML, Refused),
    ("okx", 429, '{"code":"50011","data":[],"msg":"Too Many Requests"}', Throttled),
    ("okx", 429, HTML, Throttled),
    ("okx", 200, '{"code":"50011","data":[],"msg":"Too Many Requests"}', Throttled),
    ("okx", 200, '{"code":"51001","data":[],"msg":"Instrument ID does not exist"}', UnknownSymbol),
    ("okx", 200, '{"code":"50001","data":[],"msg":"Service temporarily unavailable"}', Maintenance),
    ("okx", 200, '{"code":"50013","data":[],"msg":"Systems are busy"}', TransientError),
    ("okx", 200, '{"code":"50014","data":[],"msg":"Parameter bar can not be empty"}', FetchError),
    ("okx", 200, "{}", MalformedAnswer),
    ("okx", 200, '{"code":"0","data":null}', MalformedAnswer),
    ("okx", 200, '{"code":"0","msg":""}', MalformedAnswer),
    ("okx", 451, HTML, Refused),
    ("okx", 418, HTML, Banned),
    ("bybit", 403, HTML, Banned),
    ("bybit", 403, '{"retCode":10006,"retMsg":"403, access too frequent"}', Banned),
    ("bybit", 200, '{"retCode":10006,"retMsg":"Too many visits!"}', Throttled),
    ("bybit", 200, '{"retCode":10001,"retMsg":"Not supported symbols"}', UnknownSymbol),
    ("bybit", 200, '{"retCode":10001,"retMsg":"params error: Symbol Invalid"}', UnknownSymbol),
    ("bybit", 200, '{"retCode":10001,"retMsg":"params error: The interval is wrong"}', FetchError),
    ("bybit", 200, '{"retCode":10016,"retMsg":"Server error."}', TransientError),
    ("bybit", 200, '{"retCode":10024,"retMsg":"Compliance rules triggered"}', Refused),
    ("bybit", 200, "{}", MalformedAnswer),
    ("bybit", 200, '{"retCode":0,"result":{"list":null}}', MalformedAnswer),
    ("bybit", 200, '{"retCode":0,"result":null}', MalformedAnswer),
    ("bybit", 429, HTML, Throttled),
    ("bitfinex", 500, '["error",10020,"symbol: invalid"]', UnknownSymbol),
    ("binance", 404, '{"message":"market data endpoint not found"}', FetchError),
    ("bybit", 200, '{"retCode":10001,"retMsg":"market service is offline"}', FetchError),
    ("bitfinex", 200, '["error",11010,"ratelimit: error"]', Throttled),
    ("bitfinex", 200, '["error",20060,"maintenance"]', MalformedAnswer),
    ("bitfinex", 500, '["error",10020,"time_interval: invalid"]', TransientError),
    ("bitfinex", 500, '["error",11010,"ratelimit: error"]', Throttled),
    ("bitfinex", 503, '["error",20060,"maintenance"]', Maintenance),
    ("gate", 400, '{"label":"INVALID_CURRENCY_PAIR","message":"Invalid currency pair XYZ_USDT"}', UnknownSymbol),
    ("gate", 400, '{"label":"INVALID_PARAM_VALUE","message":"Candlestick too long ago."}', FetchError),
    ("mexc", 400, '{"code":-1121,"msg":"Invalid symbol."}', UnknownSymbol),
    ("cryptocom", 400, '{"id":-1,"code":40004,"message":"Invalid instrument_name"}', UnknownSymbol),
    ("cryptocom", 400, '{"id":-1,"code":40004,"message":"Invalid timeframe"}', FetchError),
    ("upbit", 404, '{"error":{"name":404,"message":"Code not found"}}', UnknownSymbol),
    ("upbit", 404, HTML, FetchError),
    (
        "gemini",
        400,
        '{"result":"error","reason":"Bad Request","message":"Supplied value \'x\' is not a valid symbol"}',
        UnknownSymbol,
    ),
    ("gemini", 400, '{"result":"error","reason":"Bad Request","message":"Supplied time frame is wrong"}', FetchError),
    ("htx", 200, '{"status":"error","err-code":"invalid-parameter","err-msg":"invalid symbol"}', UnknownSymbol),
    ("htx", 200, '{"status":"error","err-code":"rate-too-many-requests","err-msg":"exceeded rate limit"}', Throttled),
    ("htx", 429, '{"status":"error","err-code":"too-many-request","err-msg":"too many request"}', Throttled),
    ("htx", 200, '{"status":"error","err-code":"too-many-request","err-msg":"too many request"}', Throttled),
    ("bingx", 200, '{"code":100410,"msg":"rate limited"}', Throttled),
    ("kucoin", 403, "error code: 1015", Banned),
    ("kucoin", 403, "<html><title>You are being rate limited | api.kucoin.com used Cloudflare</title>", Banned),
    ("coinbase", 429, '<span class="cf-error-type">Error</span> <span class="cf-error-code">1015</span>', Banned),
    ("kucoin", 403, HTML, Refused),
    ("bitstamp", 403, '{"code":"400.016","reason":"Request limit exceeded"}', Throttled),
    ("bitstamp", 403, '{"code":"403.002","reason":"Forbidden"}', Refused),
    ("bingx", 500, '{"code":100410,"msg":"rate limited"}', Throttled),
    ("binance", 400, '{"code":-1122,"msg":"Invalid symbol status."}', UnknownSymbol),
    ("binanceus", 400, '{"code":-1122,"msg":"Invalid symbol status."}', UnknownSymbol),
    ("bitget", 400, '{"code":"40200","msg":"Server upgrade, please try again later"}', Maintenance),
    ("bitget", 400, '{"code":"429","msg":"Too many requests"}', Throttled),
    ("bitget", 400, '{"code":"50008","msg":"network timeout"}', TransientError),
    ("bitget", 400, '{"code":"40309","msg":"The symbol has been removed"}', UnknownSymbol),
    ("bitget", 400, '{"code":"40017","msg":"Parameter verification failed"}', FetchError),
    ("cryptocom", 400, '{"id":-1,"code":10006,"message":"TOO_MANY_REQUESTS"}', Throttled),
    ("kucoin", 200, '{"code":"200002","msg":"Too many requests in a short period of time"}', Throttled),
    ("kucoin", 429, '{"code":"429000","msg":"Too many requests in a short period of time"}', Throttled),
    ("kucoin", 200, '{"code":"400302","msg":"Our services are currently unavailable in the U.S."}', Refused),
    ("kucoin", 403, '{"code":"400302","msg":"Our services are currently unavailable in the U.S."}', Refused),
    ("kucoin", 200, '{"code":"400500","msg":"Your located country/region is currently not supported"}', Refused),
    ("bithumb", 404, '{"error":{"name":404,"message":"Code not found"}}', UnknownSymbol),
    ("mexc", 400, '{"code":30014,"msg":"invalid symbol"}', UnknownSymbol),
    ("mexc", 400, '{"code":10007,"msg":"bad symbol"}', UnknownSymbol),
    ("gemini", 503, '{"result":"error","reason":"Maintenance","message":"x"}', Maintenance),
    ("bingx", 200, '{"code":100490,"msg":"spot trading pair is offline"}', UnknownSymbol),
    ("phemex", 200, '{"code":39997,"msg":"Symbol not listed sMOVRUSDT","data":null}', UnknownSymbol),
    ("htx", 200, '{"status":"error","err-code":"base-symbol-error","err-msg":"The symbol is invalid"}', UnknownSymbol),
    ("bitrue", 400, '{"code":-1121,"msg":"Invalid symbol."}', UnknownSymbol),
    ("lbank", 200, '{"result":"false","error_code":10008}', UnknownSymbol),
    # Errors with an empty list of candles. Their texts have no error code in ccxt.
    ("bingx", 200, '{"success":false,"message":"symbol suspended","data":[]}', UnknownSymbol),
    ("bitget", 200, '{"code":"99999","msg":"The system is under maintenance","data":[]}', Maintenance),
    ("bitrue", 200, '{"status":"error","message":"trading is halted","data":[]}', FetchError),
    ("bitstamp", 200, '{"code":"700","reason":"This pair is delisted","data":{"ohlc":[]}}', UnknownSymbol),
    # Answers for closed markets. Their texts have no error code in ccxt.
    ("gate", 400, '{"label":"X","message":"Trading pair BTC_USDT is offline"}', UnknownSymbol),
    ("mexc", 400, '{"code":39,"msg":"The symbol has been delisted"}', UnknownSymbol),
    ("htx", 200, '{"status":"error","err-code":"x","err-msg":"unknown symbol"}', UnknownSymbol),
    ("bitfinex", 400, '["error",10021,"market does not exist"]', UnknownSymbol),
    ("coinbase", 404, "<html><title>Crypto market: page not found</title></html>", FetchError),
    ("bybit", 200, '{"retCode":10001,"retMsg":"The interval is not supported"}', FetchError),
    ("coinbase", 200, '{"error":"internal","message":"try again","candles":[]}', FetchError),
    ("gemini", 200, '{"result":"error","message":"Too many requests","data":[]}', Throttled),
    ("htx", 200, '{"code":403,"message":"Your IP has been blocked","data":[]}', Banned),
    ("hyperliquid", 200, '{"status":"err","response":"down","data":[]}', FetchError),
    ("lbank", 200, '{"success":false,"msg":"invalid interval","data":[]}', FetchError),
    ("phemex", 200, '{"label":"SERVER_ERROR","message":"busy","data":[]}', FetchError),
]


@pytest.mark.parametrize(
    ("exchange", "status", "body", "expected"), SAID, ids=[f"{a}-{b}-{c[:40]}" for a, b, c, _ in SAID]
)
def test_status_words_and_class_decide_together(
    exchange: str, status: int, body: str, expected: type[FetchError]
) -> None:
    content_type = "application/json" if body.startswith(("{", "[")) else "text/html"
    error = failure(exchange, says(body, status, content_type))
    assert type(error) is expected, error
    assert error.status == status
    assert error.exchange == exchange
    assert str(error).startswith(f"{exchange} BTC/USD")


# For these answers, the class of ccxt's exception is misleading or has no meaning.
BROKEN = {
    "reset": b"",
    "short body": b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 5000\r\n\r\n[[1718",
    "bad gzip": b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 4\r\n\r\nnope",
    "redirect loop": b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
    "no http": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
}
CAUSES = {
    "reset": "the server closed the connection without an answer",
    "short body": "the answer is cut short or damaged",
    "bad gzip": "the answer is cut short or damaged",
    "redirect loop": "the server closed the connection without an answer",  # after the first redirect
    "no http": "the server's answer is not valid HTTP",
}


@pytest.mark.parametrize("exchange", ["binance", "okx"])
@pytest.mark.parametrize("what", BROKEN)
def test_what_breaks_on_the_way_passes(exchange: str, what: str) -> None:
    async def work() -> FetchError:
        async with serving_bytes(BROKEN[what]) as url:
            return await ask(exchange, url)

    error = run(work())
    assert type(error) is TransientError, error
    assert error.status is None
    assert str(error) == f"{exchange} BTC/USDT: {CAUSES[what]}. The request is repeated."


def test_a_refused_connection_is_a_transient_error() -> None:
    async def work() -> FetchError:
        async with serving(says("[]")) as url:
            pass
        return await ask("binance", url)

    assert type(run(work())) is TransientError


def test_silence_passes() -> None:
    async def work() -> FetchError:
        async with serving_bytes(b"HTTP/1.1 200 OK\r\nContent-Length: 5000\r\n") as url:
            return await ask("binance", url, timeout_ms=200)

    assert type(run(work())) is TransientError


def test_a_ban_with_a_body_that_never_ends_is_a_ban() -> None:
    silence = asyncio.Event()

    async def stalled(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse(status=418, headers={"Retry-After": "300", "Content-Length": "5000"})
        await response.prepare(request)
        await response.write(b'{"code":-1003,')
        await silence.wait()
        return response

    async def work() -> FetchError:
        async with serving(stalled) as url:
            try:
                return await ask("binance", url, timeout_ms=500)
            finally:
                silence.set()

    error = run(work())
    assert isinstance(error, Banned)
    assert error.until == NOW + timedelta(minutes=5)


def mapped(
    error: Exception, status: int | None, headers: Mapping[str, str] | None = None, exchange: str = "binance"
) -> FetchError:
    return classify(error, status, headers or {}, exchange=exchange, symbol="BTC/USDT", now=NOW)


def test_retry_after_is_seconds_or_a_date() -> None:
    error = ccxt.RateLimitExceeded("slow down")
    for text in (
        "7",
        "7.0",
        format_datetime(NOW + timedelta(seconds=7)),
        format_datetime(NOW.replace(tzinfo=None) + timedelta(seconds=7)),
    ):
        throttled = mapped(error, 429, {"retry-AFTER": text})
        assert isinstance(throttled, Throttled)
        assert throttled.retry_after == timedelta(seconds=7)


def test_the_longest_of_several_retry_after_headers_counts() -> None:
    error, later = ccxt.RateLimitExceeded("slow down"), format_datetime(NOW + timedelta(seconds=90), usegmt=True)
    several = CIMultiDict([("Retry-After", "90"), ("Retry-After", "1")])
    for headers in (several, {"Retry-After": "90, 1"}, {"Retry-After": f"soon, 1, {later}"}):
        throttled = mapped(error, 429, headers)
        assert isinstance(throttled, Throttled)
        assert throttled.retry_after == timedelta(seconds=90)


def test_the_end_of_a_pause_is_a_time_of_the_exchanges_clock() -> None:
    there = NOW - timedelta(minutes=4)  # this machine's clock is four minutes ahead
    ends = there + timedelta(seconds=90)
    date = {"Date": format_datetime(there, usegmt=True)}
    throttled = mapped(
        ccxt.RateLimitExceeded("slow down"), 429, {**date, "Retry-After": format_datetime(ends, usegmt=True)}
    )
    assert isinstance(throttled, Throttled)
    assert throttled.retry_after == timedelta(seconds=90)
    banned = mapped(ccxt.DDoSProtection(f"IP banned until {int(ends.timestamp()) * 1000}."), 418, date)
    assert isinstance(banned, Banned)
    assert banned.until == NOW + timedelta(seconds=90)


@pytest.mark.parametrize("date", ["yesterday", "Thu, 01 Jan 1970 00:00:00 GMT"])
def test_a_date_that_cannot_be_right_does_not_change_a_pause(date: str) -> None:
    ends = format_datetime(NOW + timedelta(seconds=90), usegmt=True)
    throttled = mapped(ccxt.RateLimitExceeded("slow down"), 429, {"Date": date, "Retry-After": ends})
    assert isinstance(throttled, Throttled)
    assert throttled.retry_after == timedelta(seconds=90)


@pytest.mark.parametrize(
    "text", ["", "soon", "-5", "1e9", "Wed, 31 Feb 2024 00:00:00 GMT", f"Mon, 01 Jan {10**20} 00:00:00 GMT"]
)
def test_a_retry_after_that_cannot_be_read_is_the_tables_pause(text: str) -> None:
    throttled = mapped(ccxt.RateLimitExceeded("slow down"), 429, {"Retry-After": text}, exchange="okx")
    assert isinstance(throttled, Throttled)
    assert throttled.retry_after == timedelta(seconds=2)


def test_a_very_long_retry_after_is_a_ban() -> None:
    banned = mapped(ccxt.RateLimitExceeded("slow down"), 429, {"Retry-After": str(LONGEST_REST.total_seconds() + 1)})
    assert isinstance(banned, Banned)
    assert banned.until == NOW + LONGEST_REST + timedelta(seconds=1)


@pytest.mark.parametrize(
    ("text", "expected"), [("x", TransientError), ("<html>We are down for maintenance</html>", Maintenance)]
)
def test_the_pause_of_an_exchange_that_is_down_is_kept(text: str, expected: type[TransientError]) -> None:
    down = mapped(ccxt.ExchangeNotAvailable(text), 503, {"Retry-After": "120"})
    assert type(down) is expected
    assert isinstance(down, TransientError)
    assert down.retry_after == timedelta(seconds=120)
    assert str(down).count("No request is made for 120 s. The request is repeated") == 1
    plain = mapped(ccxt.ExchangeNotAvailable(text), 503)
    assert isinstance(plain, TransientError)
    assert plain.retry_after is None

    later = mapped(ccxt.ExchangeNotAvailable(text), 503, {"Retry-After": "7200"})
    assert isinstance(later, Unavailable)
    assert later.until == NOW + timedelta(hours=2)
    assert str(later).endswith("No request is made before 2024-06-20 04:00:05 UTC.")


@pytest.mark.parametrize(("seconds", "expected"), [(3600, Banned), (60, Refused)])
def test_a_refusal_that_names_a_long_pause_is_a_ban(seconds: int, expected: type[FetchError]) -> None:
    refused = mapped(ccxt.ExchangeNotAvailable("<html>"), 403, {"Retry-After": str(seconds)}, exchange="okx")
    assert type(refused) is expected
    if isinstance(refused, Banned):
        assert refused.until == NOW + timedelta(hours=1)


def test_the_pause_beside_an_answer_that_cannot_be_read_is_kept() -> None:
    malformed = mapped(ccxt.BadResponse("not JSON"), 200, {"Retry-After": "30"})
    assert isinstance(malformed, MalformedAnswer)
    assert malformed.retry_after == timedelta(seconds=30)


@pytest.mark.parametrize("text", ["0", "0.0", format_datetime(NOW - timedelta(seconds=3))])
def test_after_throttling_there_is_always_a_pause(text: str) -> None:
    throttled = mapped(ccxt.RateLimitExceeded("slow down"), 429, {"Retry-After": text}, exchange="okx")
    assert isinstance(throttled, Throttled)
    assert throttled.retry_after == timedelta(seconds=1)


def test_the_end_of_a_block_is_read_from_the_message() -> None:
    def blocked(minutes: int) -> FetchError:
        ends = int((NOW + timedelta(minutes=minutes)).timestamp()) * 1000
        words = f"code:100410:The endpoint trigger frequency limit rule ... will be unblocked after {ends}"
        return mapped(ccxt.OperationFailed(f'bingx {{"code":100410,"msg":"{words}"}}'), 200, exchange="bingx")

    throttled, banned, over = blocked(4), blocked(20), blocked(-1)
    assert isinstance(throttled, Throttled)
    assert throttled.retry_after == timedelta(minutes=4)
    assert isinstance(banned, Banned)
    assert banned.until == NOW + timedelta(minutes=20)
    assert isinstance(over, Throttled)
    assert over.retry_after == timedelta(minutes=5)  # the pause in the table of this exchange


def test_an_absurd_retry_after_ends_within_a_week() -> None:
    banned = mapped(ccxt.DDoSProtection("banned"), 418, {"Retry-After": "9" * 30})
    assert isinstance(banned, Banned)
    assert banned.until == NOW + timedelta(days=7)


def test_a_ban_lasts_as_long_as_the_exchange_says_or_its_message_or_the_table() -> None:
    until = datetime(2024, 6, 20, 3, tzinfo=UTC)
    cases = [
        (mapped(ccxt.DDoSProtection("x"), 418, {"Retry-After": "300"}), NOW + timedelta(minutes=5)),
        (mapped(ccxt.DDoSProtection(f"IP banned until {int(until.timestamp()) * 1000}."), 418), until),
        (mapped(ccxt.DDoSProtection("x"), 418), NOW + timedelta(minutes=10)),
        (mapped(ccxt.DDoSProtection("x"), 418, exchange="okx"), NOW + timedelta(minutes=2)),
        (mapped(ccxt.DDoSProtection("Temporary lockout"), 200, exchange="kraken"), NOW + timedelta(minutes=15)),
        (mapped(ccxt.RateLimitExceeded("x"), 403, exchange="bybit"), NOW + timedelta(minutes=10)),
    ]
    for error, expected in cases:
        assert isinstance(error, Banned)
        assert error.until == expected


def test_bybits_403_names_both_possible_causes() -> None:
    text = str(mapped(ccxt.RateLimitExceeded("x"), 403, exchange="bybit"))
    assert "too many requests" in text
    assert "a country that is not served" in text


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ccxt.BadSymbol("x"), UnknownSymbol),
        (ccxt.OnMaintenance("x"), Maintenance),
        (ccxt.RateLimitExceeded("x"), Throttled),
        (ccxt.DDoSProtection("x"), Throttled),
        (ccxt.BadResponse("x"), MalformedAnswer),
        (ccxt.NullResponse("x"), MalformedAnswer),
        (ccxt.AuthenticationError("x"), Refused),
        (ccxt.PermissionDenied("x"), Refused),
        (ccxt.RequestTimeout("x"), TransientError),
        (ccxt.ExchangeNotAvailable("x"), TransientError),
        (ccxt.ExchangeError("x"), FetchError),
        (ccxt.NotSupported("x"), FetchError),
        (KeyError("x"), MalformedAnswer),
        (AttributeError("x"), MalformedAnswer),
        (TypeError("x"), MalformedAnswer),
        (ValueError("x"), MalformedAnswer),
        (TimeoutError("x"), TransientError),
        (aiohttp.ServerDisconnectedError("x"), TransientError),
        (RuntimeError("x"), FetchError),
    ],
)
def test_without_a_status_the_class_decides(error: Exception, expected: type[FetchError]) -> None:
    assert type(mapped(error, None)) is expected


@pytest.mark.parametrize(
    ("exchange", "body", "expected"),
    [
        ("kucoin", '{"code":"429000","msg":"Too many requests"}', Throttled),
        ("bitget", '{"code":"45001","msg":"Unknown error"}', TransientError),
        ("bitfinex", '["error",11010,"ratelimit: error"]', Throttled),
        ("kucoin", '{"code":"400100","msg":"This pair is not provided at present"}', UnknownSymbol),
    ],
)
def test_plain_exchange_errors_are_classified_by_their_words(
    exchange: str, body: str, expected: type[FetchError]
) -> None:
    assert type(mapped(ccxt.ExchangeError(f"{exchange} {body}"), 200, exchange=exchange)) is expected


def test_our_own_errors_stay_as_they_are() -> None:
    error = TransientError("x", exchange="okx")
    assert mapped(error, 500) is error


def test_a_page_of_html_is_quoted_in_a_line() -> None:
    text = str(mapped(ccxt.ExchangeNotAvailable("binance GET http://x 500 " + "<p>oh\n</p>" * 500), 500))
    assert len(text) < 400
    assert "\n" not in text


# -- secrets


def chain(error: BaseException | None) -> str:
    return "" if error is None else f"{error} {error!r} {chain(error.__cause__)}"


@pytest.mark.parametrize("status", [400, 500])
def test_a_login_in_an_address_never_appears_in_an_error(status: int) -> None:
    async def work() -> FetchError:
        async with serving(says("no", status=status)) as url:
            return await ask("binance", url.replace("://", "://joe:s3cr@t@"))

    error = run(work())
    assert error.status == status
    assert "s3cr" not in chain(error)
    assert "joe" not in chain(error)
    assert "http://***@127.0.0.1" in str(error)


def test_an_error_without_a_login_keeps_its_cause() -> None:
    assert failure("binance", says("no", status=500)).__cause__ is not None
