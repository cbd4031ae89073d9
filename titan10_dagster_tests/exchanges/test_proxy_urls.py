"""Valid URLs of proxies, and the faults of invalid URLs."""

from __future__ import annotations

import pytest

from titan10_dagster.exchanges.proxy_urls import fault_of, is_in_network, normalized


@pytest.mark.parametrize(
    ("proxy", "expected"),
    [
        ("proxy:3128", "http://proxy:3128"),
        (" HTTP://proxy:3128 ", "http://proxy:3128"),
        ("SOCKS5H://me:Secret@proxy:1080", "socks5h://me:Secret@proxy:1080"),
        ("http://me:s@cret@proxy", "http://me:s@cret@proxy"),
        ("https://[::1]:3128", "https://[::1]:3128"),
    ],
)
def test_a_proxy_is_read_as_other_programs_read_it(proxy: str, expected: str) -> None:
    assert normalized(proxy) == expected
    assert fault_of(expected) == ""


@pytest.mark.parametrize(
    ("proxy", "words"),
    [
        ("ftp://me:s3cret@proxy:21", "must start with http://"),
        ("socks://proxy:1080", "must start with http://"),
        ("://proxy", "must start with http://"),
        ("http://", "must name the proxy's host"),
        ("http://:3128", "must name the proxy's host"),
        ("http:// proxy:3128", "must name the proxy's host"),
        ("http://proxy:port", "with a port from 1 to 65535"),
        ("http://proxy:99999", "with a port from 1 to 65535"),
        ("http://[::1", "with a port from 1 to 65535"),
        ("socks5://me:s3cret@proxy", "must name the proxy's port"),
        ("http://proxy:0", "must name the proxy's port"),
    ],
)
def test_a_proxy_that_cannot_be_used_has_a_fault(proxy: str, words: str) -> None:
    assert words in fault_of(proxy)
    assert "s3cret" not in fault_of(proxy)


@pytest.mark.parametrize(
    ("host", "excepted", "expected"),
    [
        ("10.1.2.3", "localhost, 10.0.0.0/8", True),
        ("10.1.2.3", "10.9.9.9/8", True),
        ("fd00::1", "fd00::/8", True),
        ("11.1.2.3", "10.0.0.0/8", False),
        ("10.1.2.3", "10.1.2", False),
        ("api.binance.com", "10.0.0.0/8", False),
        (None, "10.0.0.0/8", False),
    ],
)
def test_networks_of_no_proxy(host: str | None, excepted: str, expected: bool) -> None:
    assert is_in_network(host, excepted) is expected
