"""Candle files over HTTP: downloaded once, verified against their published digest, kept in a cache.

A file in the cache is complete and verified: it is written under a temporary name and then renamed, together with a
small JSON file that records its origin. After a killed backfill, only the file in progress is downloaded again.
"""

from __future__ import annotations

import asyncio
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote, unquote, urlsplit

import aiohttp
from tenacity import AsyncRetrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential
from tenacity.wait import wait_base

from titan10_dagster.archives.cache import forget_cached, is_cached, read_cached, write_cached
from titan10_dagster.archives.catalog import ArchiveFile
from titan10_dagster.candles.source_files import FileHeaders, SourceFile
from titan10_dagster.errors import ArchiveError
from titan10_dagster.exchanges.archive_record import Archive

MOST_BYTES = 256 << 20  # of one compressed file
_MOST_DIGEST_BYTES = 4096
_CHUNK = 1 << 18
_FRESH = {"Cache-Control": "no-cache", "Pragma": "no-cache"}  # bypasses caches between the archive and this machine
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_REFUSALS = (401, 403, 451)
_ALGORITHMS = {32: "md5", 64: "sha256"}  # by the number of hexadecimal digits
_ETAG = re.compile(r'(?:W/)?"?([0-9a-fA-F]{32})"?')


class FileAbsent(ArchiveError):
    """The archive has no such file, at least not yet."""


class ArchiveBlocked(ArchiveError):
    """The archive refuses to serve this address; further requests would not help."""


class DigestMismatch(ArchiveError):
    """Two downloads of the file differed from its published digest."""


class _PassingFailure(ArchiveError):
    """A failure that may not happen again at the next attempt."""


@dataclass(frozen=True)
class Download:
    """The content of a file and its origin. `cached`: it was read from the cache, without a request."""

    content: bytes
    source: SourceFile
    cached: bool


@dataclass
class Traffic:
    """Counts of the requests so far."""

    files: int = 0
    digests: int = 0
    absent: int = 0
    retries: int = 0
    bytes: int = 0


@dataclass
class Downloader:
    """A client for the files of one archive, several at once; use it inside `async with`.

    base_url: scheme and host that replace the archive's own (a mirror, the sandbox).
    cache: the folder of verified files.
    connections: the maximum number of simultaneous requests.
    wait: tenacity's pause between two attempts at one request.
    on_file: called with each verified file, downloaded or from the cache.
    """

    base_url: str
    cache: Path
    proxy: str | None = None
    connections: int = 16
    attempts: int = 4
    seconds: float = 60.0
    wait: wait_base = field(default_factory=lambda: wait_random_exponential(multiplier=0.5, max=20))
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    traffic: Traffic = field(default_factory=Traffic)
    on_file: Callable[[Download], None] = lambda _: None
    _session: aiohttp.ClientSession | None = None
    _blocked: ArchiveBlocked | None = None

    async def __aenter__(self) -> Downloader:
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self.connections),
            timeout=aiohttp.ClientTimeout(total=self.seconds),
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._session is not None:
            await self._session.close()

    async def fetch(self, file: ArchiveFile) -> Download:
        """Return the verified file, from the cache or from the archive.

        Raises:
            FileAbsent: the archive does not have it.
            DigestMismatch: it differs from its published digest, and so does a second download that bypasses all
                caches.
            ArchiveBlocked: the archive refuses this address.
            ArchiveError: it could not be downloaded.
        """
        path = self._place(file.path)
        known = await asyncio.to_thread(read_cached, path)
        if known is not None:
            download = Download(*known, cached=True)
        else:
            content, source = await self._verified(file)
            await asyncio.to_thread(write_cached, path, content, source)
            download = Download(content, source, cached=False)
        self.on_file(download)
        return download

    async def head(self, archive: Archive, url: str) -> FileHeaders:
        """Return the archive's data about a file that it `owns`, without downloading the file.

        Raises:
            FileAbsent: the archive no longer has it.
            ArchiveBlocked: the archive refuses this address.
            ArchiveError: the answer shows neither.
        """
        found: FileHeaders = await _tries(self)(self._head_once, archive, url)
        return found

    def owns(self, url: str) -> bool:
        """Return whether the URL belongs to this archive at the address in the current settings."""
        return url.startswith(self._url(""))

    def forget(self, url: str) -> None:
        """Remove a file that the archive `owns` from the cache, so that it is downloaded again."""
        forget_cached(self._place(unquote(url.removeprefix(self._url("")))))

    def is_cached(self, file: ArchiveFile) -> bool:
        """Return whether the file is in the cache, so that it needs no request unless it is damaged."""
        return is_cached(self._place(file.path))

    async def _verified(self, file: ArchiveFile) -> tuple[bytes, SourceFile]:
        for headers in ({}, _FRESH):
            (content, answer), published = await asyncio.gather(
                self._get(file, file.path, MOST_BYTES, headers), self._published_digest(file, headers)
            )
            self.traffic.files += 1
            source = _source_file(file, self._url(file.path), content, answer, published, self.now())
            expected = _expected_digest(file, published, answer)
            if expected is None:
                return content, source
            algorithm, digest = expected
            if await asyncio.to_thread(_digest, algorithm, content) == digest:
                return content, replace(source, checked_against=f"{algorithm} {'file' if published else 'etag'}")
        raise DigestMismatch(
            f"{file}: its {algorithm} digest is not the published one, {digest[:12]}..., after two downloads. Nothing"
            " of it is stored; these candles are requested from the next source."
        )

    async def _published_digest(self, file: ArchiveFile, headers: Mapping[str, str]) -> str | None:
        """Return the digest from the file next to the data file; None if there is no such file."""
        if file.digest_path is None:
            return None
        try:
            content, _ = await self._get(file, file.digest_path, _MOST_DIGEST_BYTES, headers)
        except FileAbsent:
            return None
        self.traffic.digests += 1
        return _parse_digest(content, file.path.rpartition("/")[2])

    async def _get(
        self, file: ArchiveFile, path: str, most: int, headers: Mapping[str, str]
    ) -> tuple[bytes, Mapping[str, str]]:
        """Return body and headers of one answer. The request is repeated after failures that may be temporary."""
        answer: tuple[bytes, Mapping[str, str]] = await _tries(self)(self._get_once, file, path, most, headers)
        return answer

    def _opened(self) -> aiohttp.ClientSession:
        if self._blocked is not None:
            raise self._blocked
        if self._session is None:
            raise RuntimeError("the downloader is not open: use `async with`")
        return self._session

    async def _head_once(self, archive: Archive, url: str) -> FileHeaders:
        session = self._opened()
        try:
            async with session.head(url, headers=_FRESH, proxy=self.proxy, allow_redirects=False) as answer:
                status, headers = answer.status, answer.headers
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _PassingFailure(f"{url} could not be checked: {type(error).__name__}: {error}") from error
        if status == 200:
            length = headers.get("Content-Length", "")
            size = int(length) if length.isdigit() else None
            return FileHeaders(size, headers.get("ETag"), headers.get("Last-Modified"))
        if archive.absent.get(status) == "":
            raise FileAbsent(f"{url}: the archive no longer has this file (HTTP {status})")
        # If a status has two meanings, only the body shows which one applies, and an answer to HEAD has no body.
        if status in _REFUSALS and status not in archive.absent:
            self._blocked = _blocked(url, status)
            raise self._blocked
        kind = _PassingFailure if status in _PASSING else ArchiveError
        raise kind(f"{url} could not be checked (HTTP {status})")

    async def _get_once(
        self, file: ArchiveFile, path: str, most: int, headers: Mapping[str, str]
    ) -> tuple[bytes, Mapping[str, str]]:
        session = self._opened()
        url = self._url(path)
        try:
            async with session.get(url, headers=headers, proxy=self.proxy, allow_redirects=False) as answer:
                body = await _body(answer, most, url)
                self.traffic.bytes += len(body)
                if answer.status == 200:
                    return body, answer.headers  # not a dict: names of headers are case-insensitive
                failure = _failure(file, url, answer.status, body)
                self.traffic.absent += isinstance(failure, FileAbsent)
                if isinstance(failure, ArchiveBlocked):
                    self._blocked = failure
                raise failure
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _PassingFailure(f"{url} could not be downloaded: {type(error).__name__}: {error}") from error

    def _url(self, path: str) -> str:
        return f"{self.base_url.rstrip('/')}/{quote(path)}"

    def _place(self, path: str) -> Path:
        """Return where the cache keeps the file with this path below the archive's base URL."""
        host = urlsplit(self.base_url).netloc.replace(":", "_")
        return self.cache.joinpath(host, *(quote(part, safe="") for part in path.split("/")))


def _tries(downloader: Downloader) -> AsyncRetrying:
    """Return tenacity's controller of retries: it repeats a request after a passing failure, and counts repetitions."""
    traffic = downloader.traffic
    return AsyncRetrying(
        retry=retry_if_exception_type(_PassingFailure),
        stop=stop_after_attempt(downloader.attempts),
        wait=downloader.wait,
        before_sleep=lambda _: setattr(traffic, "retries", traffic.retries + 1),
        reraise=True,
    )


def _source_file(
    file: ArchiveFile, url: str, content: bytes, answer: Mapping[str, str], published: str | None, now: datetime
) -> SourceFile:
    return SourceFile(
        url=url,
        size=len(content),
        digest="sha256:" + hashlib.sha256(content).hexdigest(),
        published_digest=published,
        checked_against=None,
        etag=answer.get("ETag"),
        last_modified=answer.get("Last-Modified"),
        read_at=now,
        start=file.start,
        end=file.end,
    )


def _failure(file: ArchiveFile, url: str, status: int, body: bytes) -> ArchiveError:
    marker = file.archive.absent.get(status)
    if marker is not None and marker in body.decode("utf-8", "replace"):
        return FileAbsent(f"{url}: the archive has no such file (HTTP {status})")
    if status in _REFUSALS:
        return _blocked(url, status)
    kind = _PassingFailure if status in _PASSING else ArchiveError
    return kind(f"{url} could not be downloaded (HTTP {status})")


def _blocked(url: str, status: int) -> ArchiveBlocked:
    return ArchiveBlocked(
        f"{url}: the archive refuses this address (HTTP {status}); nothing more of it is requested in this run"
    )


async def _body(answer: aiohttp.ClientResponse, most: int, url: str) -> bytes:
    parts: list[bytes] = []
    length = 0
    async for part in answer.content.iter_chunked(_CHUNK):
        length += len(part)
        if length > most:
            raise ArchiveError(f"{url} is longer than {most:,} bytes: the rest was not read")
        parts.append(part)
    return b"".join(parts)


def _parse_digest(content: bytes, name: str) -> str | None:
    """Return the digest in `<hex>  <file name>` or in a bare `<hex>`; None if the text has another form.

    If the text names another file, the result is also None.
    """
    fields = content.decode("utf-8", "replace").split()
    if not fields or not re.fullmatch(r"[0-9a-fA-F]+", fields[0]) or len(fields[0]) not in _ALGORITHMS:
        return None
    if len(fields) > 1 and fields[1].lstrip("*").rpartition("/")[2] != name:
        return None
    return fields[0].lower()


def _expected_digest(file: ArchiveFile, published: str | None, answer: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the algorithm and the digest that the content must have; None if the archive publishes no digest."""
    if published is not None:
        return _ALGORITHMS[len(published)], published
    etag = _ETAG.fullmatch(answer.get("ETag", ""))
    return ("md5", etag[1].lower()) if file.archive.etag_is_md5 and etag else None


def _digest(algorithm: str, content: bytes) -> str:
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
