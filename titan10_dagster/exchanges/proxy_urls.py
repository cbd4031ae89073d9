"""Check the URLs of proxies, and find out for which hosts NO_PROXY disables the proxy.

If the configured proxy cannot be used, Titan-10 makes no requests. Without the proxy, they would be sent from this
machine's own IP address.
"""

from __future__ import annotations

import ipaddress
from contextlib import suppress
from urllib.parse import urlsplit

SCHEMES = ("http", "https", "socks4", "socks5", "socks5h")


def normalized(proxy: str) -> str:
    """Return the URL with its scheme in lower case. A URL without a scheme, such as `proxy:3128`, gets http://."""
    proxy = proxy.strip()
    scheme, separator, rest = proxy.partition("://")
    return f"{scheme.lower()}://{rest}" if separator else f"http://{proxy}"


def fault_of(proxy: str) -> str:
    """Return what is wrong with a normalized URL; an empty text if the URL is valid.

    The text never contains the password of the URL.
    """
    try:
        parts = urlsplit(proxy)
        host, port = parts.hostname, parts.port
    except ValueError:  # the port is not a number, or an IPv6 address has no closing bracket
        return "must be a URL such as http://host:3128, with a port from 1 to 65535"
    if parts.scheme not in SCHEMES:
        return "must start with http://, https://, socks4://, socks5:// or socks5h://"
    if not host or any(character.isspace() for character in host):
        return "must name the proxy's host, as in http://host:3128"
    if port == 0 or (port is None and parts.scheme.startswith("socks")):
        return "must name the proxy's port, as in socks5://host:1080"
    return ""


def is_in_network(host: str | None, no_proxy: str) -> bool:
    """Return whether the host is an IP address in a network of NO_PROXY, such as 10.0.0.0/8."""
    with suppress(ValueError):  # ValueError is raised if the host is a name
        address = ipaddress.ip_address(host or "")
        for entry in no_proxy.split(","):
            with suppress(ValueError):  # ValueError is raised if the entry is a name
                if "/" in entry and address in ipaddress.ip_network(entry.strip(), strict=False):
                    return True
    return False
