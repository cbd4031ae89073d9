"""Small proxies and a TLS server on 127.0.0.1, for tests."""

from __future__ import annotations

import asyncio
import base64
import ipaddress
import ssl
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urlsplit

from aiohttp import web
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from titan10_dagster_tests.exchanges.serving import Handler


@dataclass
class Proxied:
    """The requests to a proxy. `url`: its address, without the scheme."""

    url: str
    targets: list[str] = field(default_factory=list)


async def _relay(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    with suppress(ConnectionError, RuntimeError):
        writer.write_eof()


async def _join(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, host: str, port: int, first: bytes = b""
) -> None:
    """Forward bytes in both directions. The bytes `first` are sent before all other bytes."""
    there_reader, there_writer = await asyncio.open_connection(host, port)
    there_writer.write(first)
    await asyncio.gather(_relay(reader, there_writer), _relay(there_reader, writer))
    there_writer.close()


@asynccontextmanager
async def http_proxy(*, login: str | None = None, hosts: Mapping[str, str] | None = None) -> AsyncIterator[Proxied]:
    """An HTTP proxy that also supports tunnels.

    `login`: the required "user:password". `hosts`: the names that the proxy can resolve.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            head = await reader.readuntil(b"\r\n\r\n")
            method, target, _ = head.decode().split(" ", 2)
            proxied.targets.append(target)
            wanted = base64.b64encode((login or "").encode()).decode()
            if login is not None and f"Proxy-Authorization: Basic {wanted}" not in head.decode():
                writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n")
            elif method == "CONNECT":
                host, _, port = target.rpartition(":")
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                await _join(reader, writer, (hosts or {}).get(host, host), int(port))
            else:
                parts = urlsplit(target)
                host = parts.hostname or ""
                await _join(reader, writer, (hosts or {}).get(host, host), parts.port or 80, head)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxied = Proxied(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        yield proxied


@asynccontextmanager
async def socks_proxy(hosts: Mapping[str, str] | None = None) -> AsyncIterator[Proxied]:
    """A proxy for SOCKS4 and SOCKS5 without login.

    Its targets are "ip ADDRESS" or "name HOST", as the client sent them.
    """

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            version, methods = await reader.readexactly(2)
            if version == 4:
                await _serve_socks4(reader, writer, proxied)
                return
            await reader.readexactly(methods)
            writer.write(b"\x05\x00")
            kind = (await reader.readexactly(4))[3]
            if kind == 3:
                name = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
                proxied.targets.append(f"name {name}")
                host = (hosts or {}).get(name, name)
            else:
                host = str(ipaddress.ip_address(await reader.readexactly(4 if kind == 1 else 16)))
                proxied.targets.append(f"ip {host}")
            port = int.from_bytes(await reader.readexactly(2), "big")
            writer.write(b"\x05\x00\x00\x01\x00\x00\x00\x00\x00\x00")
            await _join(reader, writer, host, port)
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxied = Proxied(f"127.0.0.1:{server.sockets[0].getsockname()[1]}")
    async with server:
        yield proxied


async def _serve_socks4(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, proxied: Proxied) -> None:
    port = int.from_bytes(await reader.readexactly(2), "big")
    host = str(ipaddress.ip_address(await reader.readexactly(4)))
    await reader.readuntil(b"\0")  # the user id
    proxied.targets.append(f"ip {host}")
    writer.write(b"\x00\x5a" + bytes(6))
    await _join(reader, writer, host, port)
    writer.close()


def make_certificate(folder: Path) -> Path:
    """Create a self-signed certificate for localhost with its key, and return the path of the PEM file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "titan10 test")])
    now = datetime.now(UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    path = folder / "certificate.pem"
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(certificate.public_bytes(encoding) + private)
    return path


@asynccontextmanager
async def serving_tls(handler: Handler, certificate: Path) -> AsyncIterator[str]:
    """Serve `handler` over TLS, and yield the base URL of the server."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    runner = web.ServerRunner(web.Server(handler, access_log=None), shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    try:
        yield f"https://localhost:{runner.addresses[0][1]}"
    finally:
        await runner.cleanup()
