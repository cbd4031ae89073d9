"""Recognize failures of the network between this machine and an exchange. Each cause has its own error message.

If a certificate is not trusted, or if a proxy requires a login, the user has to change a setting. Therefore the request
is not repeated. A failure of a proxy shows nothing about the exchange.
"""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

import aiohttp
from aiohttp_socks import ProxyConnectionError, ProxyError, ProxyTimeoutError

from titan10_dagster.errors import FetchError, ProxyFailed, Refused, TransientError

_LOGIN_NEEDED = 407
_CERTIFICATE = (
    "If a proxy or your network replaces certificates, set SSL_CERT_FILE or SSL_CERT_DIR to the certificates of its CA,"
    " then try again."
)
_LOGIN = (
    "Correct the user name and password in the proxy's URL (`proxy` of the exchange, or HTTPS_PROXY), then try again."
)
_PROXY = "The request is repeated. If the error persists, check the proxy (`proxy` of the exchange, or HTTPS_PROXY)."


def network_failure(
    error: Exception, status: int | None, *, exchange: str, symbol: str | None, proxy: str | None
) -> FetchError | None:
    """Return an error if the network or the proxy failed in a known way; None for all other failures.

    status: the HTTP status of the answer; None if there was no answer.
    proxy: the proxy of the request; None if no proxy was used.
    """
    which = f"{exchange} {symbol}" if symbol else exchange
    if proxy is not None:
        name = f"the proxy {urlsplit(proxy).hostname}"
        if wants_login(error, status):
            return Refused(f"{which}: {name} requires a login (HTTP 407). {_LOGIN}", exchange=exchange, symbol=symbol)
        reason = _of_proxy(error)
        if status is None and reason is not None:
            return ProxyFailed(f"{which}: {name} {reason}. {_PROXY}", exchange=exchange, symbol=symbol)
    if status is not None:
        return None
    for link in chain(error):
        reason = _of_certificate(link)
        if reason is not None:
            text = f"{which}: the server's certificate is not trusted ({reason}). {_CERTIFICATE}"
            return Refused(text, exchange=exchange, symbol=symbol)
        reason = _of_connection(link)
        if reason is not None:
            return TransientError(f"{which}: {reason}. The request is repeated.", exchange=exchange, symbol=symbol)
    return None


def wants_login(error: Exception, status: int | None) -> bool:
    """Return whether a proxy required a login (HTTP 407), for the request itself or for the tunnel of the request."""
    of_tunnel = [link.status for link in chain(error) if isinstance(link, aiohttp.ClientHttpProxyError)]
    return _LOGIN_NEEDED in (status, *of_tunnel)


def chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the error, then its cause, then the cause of the cause, and so on."""
    link: BaseException | None = error
    while link is not None:
        yield link
        link = link.__cause__ or link.__context__


def _of_proxy(error: Exception) -> str | None:
    for link in chain(error):
        if isinstance(link, (aiohttp.ClientProxyConnectionError, ProxyConnectionError)):
            return "cannot be reached"
        if isinstance(link, ProxyTimeoutError):
            return "did not answer in time"
        if isinstance(link, aiohttp.ClientHttpProxyError):
            return f"could not reach the exchange (HTTP {link.status})"
        if isinstance(link, ProxyError):
            return f"could not reach the exchange ({link})"
    return None


def _of_certificate(link: BaseException) -> str | None:
    if isinstance(link, aiohttp.ClientConnectorCertificateError):
        link = link.certificate_error
    if isinstance(link, ssl.SSLCertVerificationError):
        return link.verify_message or "certificate verify failed"
    return None


def _of_connection(link: BaseException) -> str | None:
    host = f" {link.host}" if isinstance(link, aiohttp.ClientConnectorError) else ""
    if isinstance(link, (aiohttp.ClientConnectorDNSError, socket.gaierror)):
        return f"the host name{host} cannot be resolved (DNS)"
    if isinstance(link, aiohttp.ClientConnectorSSLError):
        return f"no TLS connection to{host} could be made ({link.os_error})"
    if isinstance(link, ConnectionRefusedError):
        return "the server refused the connection"
    if isinstance(link, aiohttp.ClientConnectorError) and isinstance(link.os_error, ConnectionRefusedError):
        return f"the server{host} refused the connection"
    return _of_answer(link)


def _of_answer(link: BaseException) -> str | None:
    """Return a description of an answer that is incomplete or is not HTTP; None for other errors."""
    if isinstance(link, aiohttp.TooManyRedirects):
        return "the server redirects again and again"
    if isinstance(link, aiohttp.ClientPayloadError):
        return "the answer is cut short or damaged"
    if isinstance(link, aiohttp.ClientResponseError) and not isinstance(link, aiohttp.ClientHttpProxyError):
        return "the server's answer is not valid HTTP"
    if isinstance(link, (aiohttp.ServerDisconnectedError, ConnectionResetError)):
        return "the server closed the connection without an answer"
    return None
