"""URLs of proxies: what is wrong with one, and which hosts NO_PROXY exempts.

A proxy that cannot be used must stop a request: without it, the request would leave from this machine's own address.
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from urllib.parse import urlsplit

SCHEMES = ("http", "https", "socks4", "socks5", "socks5h")


def normalized(proxy: str) -> str:
    """Return the URL with a scheme in lower case. Without a scheme, as in `HTTPS_PROXY=proxy:3128`, it is http."""
    proxy = proxy.strip()
    scheme, separator, rest = proxy.partition("://")
    return f"{scheme.lower()}://{rest}" if separator else f"http://{proxy}"


def fault_of(proxy: str) -> str:
    """Return what is wrong with a normalized URL, without its password; empty if nothing is."""
    try:
        parts = urlsplit(proxy)
        host, port = parts.hostname, parts.port
    except ValueError:  # the port is not a number, or an IPv6 address is not closed
        return "must be a URL such as http://host:3128, with a port from 1 to 65535"
    if parts.scheme not in SCHEMES:
        return "must start with http://, https://, socks5:// or socks5h://"
    if not host or any(character.isspace() for character in host):
        return "must name the proxy's host, as in http://host:3128"
    if port == 0 or (port is None and parts.scheme.startswith("socks")):
        return "must name the proxy's port, as in socks5://host:1080"
    return ""


def is_in_network(host: str | None, no_proxy: str) -> bool:
    """Return whether the host is an IP address in a network of NO_PROXY, such as 10.0.0.0/8."""
    with suppress(ValueError):  # the host is a name
        address = ipaddress.ip_address(host or "")
        for entry in no_proxy.split(","):
            with suppress(ValueError):  # the entry is a name
                if "/" in entry and address in ipaddress.ip_network(entry.strip(), strict=False):
                    return True
    return False
