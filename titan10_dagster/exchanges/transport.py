"""HTTP sessions that limit the size of answers and check redirects and certificates.

The size limit of an answer applies to the received bytes and to the decompressed bytes. Therefore an endless body, or a
small body that decompresses to gigabytes, cannot fill the memory. Redirects to another server are refused. If the
environment variable SSL_CERT_FILE or SSL_CERT_DIR is set, Titan-10 uses the certificates there, as many other programs
do.
"""

from __future__ import annotations

import os
import ssl
import zlib
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from types import SimpleNamespace
from urllib.parse import urlsplit
from urllib.request import getproxies_environment, proxy_bypass_environment  # type: ignore[attr-defined]

import aiohttp
import certifi
import yarl
from aiohttp_socks import ProxyConnector
from ccxt.base.errors import BadResponse

from titan10_dagster.errors import SettingsError
from titan10_dagster.exchanges.proxy_urls import fault_of, is_in_network, normalized
from titan10_dagster.exchanges.strict import current_answer

MOST_CONCURRENT = 64  # the maximum number of connections of one session
_MIB = 1 << 20
# The maximum numbers of bytes in one answer, for candles and for other answers. The largest real answers have 1 MB (a
# page of 10,000 candles) and 15 MB (a list of markets).
CANDLES_LIMIT, OTHER_LIMIT = 4 * _MIB, 32 * _MIB
_ERROR_LIMIT = 256 * 1024  # the maximum number of bytes that are read from an answer with an error status
_PIECE = 64 * 1024


def open_session(proxy: str | None) -> aiohttp.ClientSession:
    """Return a session that limits the size of each answer.

    `proxy`: the proxy; None to use no proxy. Only a SOCKS proxy is set here, for the whole session. Other proxies must
        be given with each request.
    """
    tracing = aiohttp.TraceConfig()
    tracing.on_request_redirect.append(_refuse_other_server)
    return aiohttp.ClientSession(
        connector=_connector(proxy),
        response_class=_LimitedResponse,
        auto_decompress=False,
        trace_configs=[tracing],
    )


def is_socks(proxy: str | None) -> bool:
    return proxy is not None and proxy.startswith("socks")


def _connector(proxy: str | None) -> aiohttp.BaseConnector:
    if proxy is None or not is_socks(proxy):
        return aiohttp.TCPConnector(ssl=ssl_context(), limit=MOST_CONCURRENT)
    # With socks5h, the proxy resolves host names.
    plain = proxy.replace("socks5h://", "socks5://", 1)
    return ProxyConnector.from_url(plain, rdns=plain != proxy, ssl=ssl_context(), limit=MOST_CONCURRENT)


def environment_proxy(url: str) -> str | None:
    """Return the proxy for this URL according to HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY; None for no proxy.

    Raises:
        SettingsError: the URL of the proxy is invalid. In this case, no request must be sent. Without the proxy, the
            request would be sent from this machine's own IP address.
    """
    parts, proxies = urlsplit(url), getproxies_environment()
    if proxy_bypass_environment(parts.netloc.rpartition("@")[2], proxies):
        return None
    if is_in_network(parts.hostname, proxies.get("no", "")):
        return None
    variable = parts.scheme if proxies.get(parts.scheme, "").strip() else "all"
    named = proxies.get(variable, "").strip()
    if not named:
        return None
    proxy = normalized(named)
    fault = fault_of(proxy)
    if fault:
        raise SettingsError(f"{variable.upper()}_PROXY {fault}. Correct the variable or remove it.")
    return proxy


def ssl_context() -> ssl.SSLContext:
    """Return the TLS context. All clients share the same context, because creating a context takes 26 ms.

    Raises:
        SettingsError: there are no usable certificates at SSL_CERT_FILE or SSL_CERT_DIR.
    """
    return _ssl_context(os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR"))


@cache
def _ssl_context(cafile: str | None, capath: str | None) -> ssl.SSLContext:
    if not cafile and not capath:
        cafile = certifi.where()
    try:
        return ssl.create_default_context(cafile=cafile or None, capath=capath or None)
    except OSError as error:  # ssl.SSLError is an OSError too
        named = " and ".join(filter(None, (cafile, capath)))
        raise SettingsError(
            f"SSL_CERT_FILE or SSL_CERT_DIR is set to {named}, which has no usable certificates ({error}). Correct the"
            " variable or remove it."
        ) from None


async def _refuse_other_server(
    session: aiohttp.ClientSession, context: SimpleNamespace, redirect: aiohttp.TraceRequestRedirectParams
) -> None:
    location = redirect.response.headers.get("Location") or redirect.response.headers.get("URI") or ""
    try:
        target = redirect.response.url.join(yarl.URL(location))
    except ValueError:
        raise BadResponse("a redirect to an address that is not a valid URL") from None
    if not target.host:
        raise BadResponse(f"a redirect to {target.scheme}:, which is refused")
    if not _is_same_server(redirect.url, target):
        raise BadResponse(f"a redirect to another server, which is refused: {target.with_query(None).with_user(None)}")


def _is_same_server(url: yarl.URL, target: yarl.URL) -> bool:
    """Return whether a redirect leads to the same server.

    A redirect from http to https on the same host is accepted if both URLs use the usual ports.
    """
    uses_tls_now = (url.scheme, target.scheme) == ("http", "https") and url.is_default_port()
    return target.origin() == url.origin() or (uses_tls_now and target.host == url.host and target.is_default_port())


class _LimitedResponse(aiohttp.ClientResponse):
    """A response that limits the number of bytes that are read and decompressed."""

    async def read(self) -> bytes:
        if self._body is None:
            try:
                self._body = await self._error_body() if self.status >= 400 else await self._good_body()
            except BaseException:
                self.close()
                raise
        return self._body

    async def _good_body(self) -> bytes:
        answer = current_answer.get()
        limit = CANDLES_LIMIT if answer is not None and answer.of_candles else OTHER_LIMIT
        body, received, decoder = bytearray(), 0, _Decoder(self.headers.get("Content-Encoding", ""))
        async for part in self.content.iter_chunked(_PIECE):
            received += len(part)
            for piece in decoder.pieces(part):
                body += piece
                if len(body) > limit:
                    break
            if max(received, len(body)) > limit:
                raise BadResponse(f"the answer is larger than {limit // _MIB} MiB")
        decoder.finish()
        return bytes(body)

    async def _error_body(self) -> bytes:
        """Return the body of an error answer. If the body is large, only its beginning is read.

        If the body is cut short, damaged, incomplete at the time-out or in an unknown encoding, the readable part is
        returned. The status and the headers already show the kind of the error, for example a ban.
        """
        body = bytearray()
        with suppress(aiohttp.ClientError, BadResponse, TimeoutError):
            decoder = _Decoder(self.headers.get("Content-Encoding", ""))
            async for part in self.content.iter_chunked(_PIECE):
                for piece in decoder.pieces(part):
                    body += piece
                    if len(body) > _ERROR_LIMIT:
                        self.close()
                        return bytes(body[:_ERROR_LIMIT])
        return bytes(body)


class _Decoder:
    """A decompressor for a body that arrives in parts. It needs little memory, because it yields small pieces."""

    def __init__(self, encoding: str) -> None:
        self._encoding = encoding.strip().lower()
        if self._encoding not in ("", "identity", "gzip", "x-gzip", "deflate"):
            raise BadResponse(f"the answer is compressed as {encoding[:20]!r}, which was not requested")
        self._stream: zlib._Decompress | None = None

    def pieces(self, part: bytes) -> Iterator[bytes]:
        if self._encoding in ("", "identity"):
            yield part
            return
        is_full = False  # whether the last piece had the maximum size, so that more output can follow without new input
        while part or is_full:
            if self._stream is None or self._stream.eof:
                self._stream = zlib.decompressobj(_window(self._encoding, part))
            try:
                piece = self._stream.decompress(part, _PIECE)
            except zlib.error as error:
                raise aiohttp.ClientPayloadError(f"the compressed body is damaged: {error}") from error
            yield piece
            part = self._stream.unused_data if self._stream.eof else self._stream.unconsumed_tail
            is_full = len(piece) == _PIECE and not self._stream.eof

    def finish(self) -> None:
        if self._stream is not None and not self._stream.eof:
            raise aiohttp.ClientPayloadError("the compressed body is cut short")


def _window(encoding: str, start: bytes) -> int:
    """Return the value of zlib's parameter `wbits`. Some servers send deflate data without the zlib header."""
    if encoding != "deflate":
        return 16 + zlib.MAX_WBITS
    return zlib.MAX_WBITS if start[0] & 0x0F == 8 else -zlib.MAX_WBITS
