"""The network between client and exchange: certificates, proxies and names, each with a real server or proxy."""

from __future__ import annotations

import asyncio
import socket
import subprocess
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

import pytest

from titan10_dagster.candles.slices import Series
from titan10_dagster.errors import FetchError, ProxyFailed, Refused, SettingsError, TransientError
from titan10_dagster.exchanges.breaker import Breaker
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.fetching import fetch_slices
from titan10_dagster.exchanges.transport import environment_proxy
from titan10_dagster.planning.breaker import BreakerState
from titan10_dagster_tests.exchanges.harness import (
    MINUTE,
    NO_WAITING,
    NOW,
    MemoryHealthStore,
    Messages,
    market,
    now,
    run,
    slices,
)
from titan10_dagster_tests.exchanges.proxies import http_proxy, make_certificate, serving_tls, socks_proxy
from titan10_dagster_tests.exchanges.serving import says, serving

SYMBOL = "BTC/USDT"
ROWS = says(f'[[{int(NOW.timestamp() * 1000)}, "1", "2", "0.5", "1.5", "3"]]')


@pytest.fixture(autouse=True)
def _no_proxy_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    monkeypatch.delenv("SSL_CERT_DIR", raising=False)


async def rows_from(url: str, proxy: str | None = None) -> int:
    """Return the number of rows of a page requested from this address."""
    async with ExchangeClient(
        "binance", [market("binance", SYMBOL)], base_url=url, proxy=proxy, paced=False, now=now, timeout_ms=5000
    ) as client:
        return len((await client.fetch_page(Series("binance", SYMBOL, MINUTE), NOW, 1)).rows)


def failure(work: Coroutine[Any, Any, object]) -> FetchError:
    with pytest.raises(FetchError) as caught:
        run(work)
    return caught.value


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


# -- certificates


def test_a_certificate_of_an_unknown_ca_is_named_and_never_repeated(tmp_path: Path) -> None:
    async def work() -> int:
        async with serving_tls(ROWS, make_certificate(tmp_path)) as url:
            return await rows_from(url)

    error = failure(work())
    assert isinstance(error, Refused)
    assert "certificate is not trusted (self-signed certificate)" in str(error)
    assert "SSL_CERT_FILE" in str(error)
    assert "repeated" not in str(error)


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR"])
def test_a_ca_of_the_environment_is_trusted(tmp_path: Path, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = make_certificate(tmp_path)
    if variable == "SSL_CERT_DIR":
        named = subprocess.run(
            ["openssl", "x509", "-hash", "-noout", "-in", certificate], check=True, capture_output=True, text=True
        ).stdout.strip()
        (tmp_path / f"{named}.0").symlink_to(certificate)
        monkeypatch.setenv(variable, str(tmp_path))
    else:
        monkeypatch.setenv(variable, str(certificate))

    async def work() -> int:
        async with serving_tls(ROWS, certificate) as url:
            return await rows_from(url)

    assert run(work()) == 1


# -- proxies of the settings


@pytest.mark.parametrize("tls", [False, True])
def test_an_http_proxy_is_used(tmp_path: Path, tls: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))

    async def work() -> tuple[int, list[str]]:
        serve = serving_tls(ROWS, certificate) if tls else serving(ROWS)
        async with serve as url, http_proxy(login="user:pass", hosts={"localhost": "127.0.0.1"}) as proxy:
            return await rows_from(url, f"http://user:pass@{proxy.url}"), proxy.targets

    rows, targets = run(work())
    assert rows == 1
    assert len(targets) == 1


@pytest.mark.parametrize("tls", [False, True])
def test_a_login_required_by_a_proxy_is_not_a_failure_of_the_exchange(tmp_path: Path, tls: bool) -> None:
    store = MemoryHealthStore()

    async def work() -> None:
        serve = serving_tls(ROWS, make_certificate(tmp_path)) if tls else serving(ROWS)
        async with serve as url, http_proxy(login="user:pass") as proxy:
            breaker = Breaker("binance", store, now)
            async with ExchangeClient(
                "binance", [market("binance", SYMBOL)], base_url=url, proxy=f"http://{proxy.url}", paced=False, now=now
            ) as client:
                await fetch_slices(
                    client,
                    slices("binance", [SYMBOL]),
                    now=now,
                    land=print,
                    breaker=breaker,
                    log=Messages(),
                    retry_limits=NO_WAITING,
                )

    error = failure(work())
    assert isinstance(error, Refused)
    assert "the proxy 127.0.0.1 requires a login (HTTP 407)" in str(error)
    health = store.load("binance")
    assert (health.state, health.failures) == (BreakerState.CLOSED, 0)


@pytest.mark.parametrize(
    ("scheme", "target"), [("socks4", "ip 127.0.0.1"), ("socks5", "ip 127.0.0.1"), ("socks5h", "name localhost")]
)
def test_a_socks_proxy_is_used_and_resolves_names_only_as_socks5h(scheme: str, target: str) -> None:
    async def work() -> tuple[int, list[str]]:
        async with serving(ROWS) as url, socks_proxy({"localhost": "127.0.0.1"}) as proxy:
            rows = await rows_from(url.replace("127.0.0.1", "localhost"), f"{scheme}://{proxy.url}")
            return rows, proxy.targets

    rows, targets = run(work())
    assert rows == 1
    assert [name.replace("::1", "127.0.0.1") for name in targets] == [target]


@pytest.mark.parametrize("scheme", ["http", "socks5"])
def test_a_proxy_that_is_down_is_named_and_leaves_the_breaker_alone(scheme: str) -> None:
    async def work() -> int:
        async with serving(ROWS) as url:
            return await rows_from(url, f"{scheme}://user:secret@127.0.0.1:{free_port()}")

    error = failure(work())
    assert isinstance(error, ProxyFailed)
    assert "the proxy 127.0.0.1 cannot be reached" in str(error)
    assert "secret" not in str(error)
    store = MemoryHealthStore()
    run(Breaker("binance", store, now).learn(error))
    assert store.load("binance").failures == 0


# -- proxies of the environment


@pytest.mark.parametrize(
    ("url", "environment", "proxy"),
    [
        ("https://api.binance.com/x", {"HTTPS_PROXY": "http://p:3128"}, "http://p:3128"),
        ("https://api.binance.com/x", {"HTTP_PROXY": "http://p:3128"}, None),
        ("http://api.binance.com/x", {"http_proxy": "p:3128"}, "http://p:3128"),
        ("https://api.binance.com/x", {"ALL_PROXY": "socks5h://p:1080"}, "socks5h://p:1080"),
        ("https://api.binance.com/x", {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "binance.com"}, None),
        ("https://api.kraken.com/x", {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "binance.com"}, "http://p:3128"),
        ("https://api.kraken.com/x", {"HTTPS_PROXY": "http://p:3128", "NO_PROXY": "*"}, None),
        ("https://api.kraken.com/x", {}, None),
        ("https://api.kraken.com/x", {"HTTPS_PROXY": " "}, None),
        ("https://api.kraken.com/x", {"HTTPS_PROXY": " ", "ALL_PROXY": "SOCKS5://p:1080"}, "socks5://p:1080"),
        ("http://10.1.2.3:8/x", {"HTTP_PROXY": "http://p:3128", "NO_PROXY": "localhost,10.0.0.0/8"}, None),
        ("http://11.1.2.3:8/x", {"HTTP_PROXY": "http://p:3128", "NO_PROXY": "localhost,10.0.0.0/8"}, "http://p:3128"),
    ],
)
def test_the_environment_names_a_proxy_for_each_address(
    url: str, environment: dict[str, str], proxy: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert environment_proxy(url) == proxy


@pytest.mark.parametrize("proxy", ["http://", "ftp://me:s3cret@p:21", "http://p:99999", "socks://p:1"])
def test_a_proxy_that_cannot_be_used_lets_no_request_out(proxy: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTP_PROXY", proxy)

    async def work() -> int:
        async with serving(ROWS) as url:
            return await rows_from(url)

    with pytest.raises(SettingsError, match=r"HTTP_PROXY must .* Correct the variable or remove it") as caught:
        run(work())
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize(("excepted", "requests"), [("", 1), ("127.0.0.1", 0)])
def test_a_proxy_of_the_environment_is_used_except_for_the_hosts_of_no_proxy(
    excepted: str, requests: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_PROXY", excepted)

    async def work() -> tuple[int, list[str]]:
        async with serving(ROWS) as url, http_proxy() as proxy:
            monkeypatch.setenv("HTTP_PROXY", f"http://{proxy.url}")
            return await rows_from(url), proxy.targets

    rows, targets = run(work())
    assert (rows, len(targets)) == (1, requests)


@pytest.mark.parametrize(("excepted", "tunnels"), [("", 1), ("localhost", 0)])
def test_an_https_proxy_of_the_environment_carries_tls_except_for_the_hosts_of_no_proxy(
    tmp_path: Path, excepted: str, tunnels: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    certificate = make_certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    monkeypatch.setenv("NO_PROXY", excepted)
    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{free_port()}")  # this proxy is not used for https

    async def work() -> tuple[str, int, list[str]]:
        async with (
            serving_tls(ROWS, certificate) as url,
            http_proxy(login="user:pass", hosts={"localhost": "127.0.0.1"}) as proxy,
        ):
            monkeypatch.setenv("HTTPS_PROXY", f"http://user:pass@{proxy.url}")
            return url, await rows_from(url), proxy.targets

    url, rows, targets = run(work())
    assert rows == 1
    # The proxy sees the host and the port of a tunnel, and nothing of the request.
    assert targets == [url.removeprefix("https://")] * tunnels


def test_a_socks_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch) -> None:
    async def work() -> tuple[int, list[str]]:
        async with serving(ROWS) as url, socks_proxy() as proxy:
            monkeypatch.setenv("ALL_PROXY", f"socks5://{proxy.url}")
            return await rows_from(url), proxy.targets

    assert run(work()) == (1, ["ip 127.0.0.1"])


# -- causes


def test_causes_read_differently(tmp_path: Path) -> None:
    async def reset(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def resetting() -> int:
        server = await asyncio.start_server(reset, "127.0.0.1", 0)
        async with server:
            return await rows_from(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}")

    async def untrusted() -> int:
        async with serving_tls(ROWS, make_certificate(tmp_path)) as url:
            return await rows_from(url)

    down = f"http://127.0.0.1:{free_port()}"
    causes = {
        "refused": failure(rows_from(down)),
        "name": failure(rows_from("http://no-such-exchange.invalid")),
        "reset": failure(resetting()),
        "certificate": failure(untrusted()),
        "proxy": failure(rows_from(down, f"http://127.0.0.1:{free_port()}")),
    }
    texts = {name: str(error) for name, error in causes.items()}
    assert "refused the connection" in texts["refused"]
    assert "cannot be resolved (DNS)" in texts["name"]
    assert "no-such-exchange.invalid" in texts["name"]
    assert "certificate" in texts["certificate"]
    assert "proxy" in texts["proxy"]
    assert len({text.split(": ", 1)[1][:30] for text in texts.values()}) == len(texts)
    for name in ("refused", "name", "reset"):
        assert type(causes[name]) is TransientError
