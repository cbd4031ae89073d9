"""Candle files over HTTP: downloaded once, verified against their published digest, kept in a cache.

A file in the cache is complete and verified: it is written under a temporary name and then renamed, together with a
small JSON file that records its origin. After a killed backfill, only the file in progress is downloaded again.
"""

from __future__ import annotations

import asyncio
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
from titan10_dagster.archives.digests import digest_of, expected_digest, parse_digest
from titan10_dagster.archives.standing import ArchiveBlocked, FileRefused, Standing
from titan10_dagster.candles.source_files import FileHeaders, SourceFile
from titan10_dagster.errors import ArchiveError
from titan10_dagster.exchanges.archive_record import Archive

MOST_BYTES = 256 << 20  # of one compressed file
_MOST_DIGEST_BYTES = 4096
_CHUNK = 1 << 18
_FRESH = {"Cache-Control": "no-cache", "Pragma": "no-cache"}  # bypasses caches between the archive and this machine
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_LEFT = "Nothing of it is stored; these candles are requested from the next source."
_REFUSALS = (401, 403, 451)


class FileAbsent(ArchiveError):
    """The archive has no such file, at least not yet."""


class Unverified(ArchiveError):
    """The file could not be verified although the archive publishes digests: nothing of it is stored."""


class DigestMismatch(Unverified):
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
    standing: decides whether more files are requested; `archives.fetch` reports to it what files contain.
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
    standing: Standing = field(default_factory=Standing)
    on_file: Callable[[Download], None] = lambda _: None
    _session: aiohttp.ClientSession | None = None
    _places: asyncio.Semaphore = field(init=False)  # of files: one that waits for its turn notices a block
    _under_way: int = 0
    _answer: asyncio.Event = field(init=False)

    async def __aenter__(self) -> Downloader:
        self._places, self._answer = asyncio.Semaphore(self.connections), asyncio.Event()
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
            Unverified: its digest file cannot be read.
            DigestMismatch: it differs from its published digest, and so does a second download that bypasses all
                caches.
            ArchiveBlocked: the archive serves nothing useful to this address.
            ArchiveError: it could not be downloaded.
        """
        path = self._place(file.path)
        known = await asyncio.to_thread(read_cached, path)
        if known is not None:
            download = Download(*known, cached=True)
        else:
            async with self._places:
                content, source = await _verified(self, file)
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

    async def settle(self) -> None:
        """Wait for the answers under way, as long as they could show whether the archive refuses this address."""
        while self._under_way and not (self.standing.has_served or self.standing.blocked):
            self._answer.clear()
            await self._answer.wait()

    def owns(self, url: str) -> bool:
        """Return whether the URL belongs to this archive at the address in the current settings."""
        return url.startswith(self.url_of(""))

    def forget(self, url: str) -> None:
        """Remove a file that the archive `owns` from the cache, so that it is downloaded again."""
        forget_cached(self._place(unquote(url.removeprefix(self.url_of("")))))

    def is_cached(self, file: ArchiveFile) -> bool:
        """Return whether the file is in the cache, so that it needs no request unless it is damaged."""
        return is_cached(self._place(file.path))

    async def get(
        self, file: ArchiveFile, path: str, most: int, headers: Mapping[str, str]
    ) -> tuple[bytes, Mapping[str, str]]:
        """Return body and headers of the answer for one path.

        The request is repeated after failures that may be temporary. `most`: the longest body that is read, in bytes.

        Raises:
            FileAbsent: the archive does not have it.
            FileRefused: the archive does not serve it.
            ArchiveBlocked: the archive serves nothing useful to this address.
            ArchiveError: it could not be downloaded.
        """
        self._under_way += 1
        try:
            answer: tuple[bytes, Mapping[str, str]] = await _tries(self)(self._get_once, file, path, most, headers)
        finally:
            self._under_way -= 1
            self._answer.set()
        return answer

    def _opened(self) -> aiohttp.ClientSession:
        if self.standing.blocked is not None:
            raise self.standing.blocked
        if self._session is None:
            raise RuntimeError("the downloader is not open: use `async with`")
        return self._session

    async def _head_once(self, archive: Archive, url: str) -> FileHeaders:
        try:
            async with (
                self._places,
                self._opened().head(url, headers=_FRESH, proxy=self.proxy, allow_redirects=False) as answer,
            ):
                status, headers = answer.status, answer.headers
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _PassingFailure(f"{url} could not be checked: {type(error).__name__}: {error}") from error
        if status == 200:
            self.standing.served()
            length = headers.get("Content-Length", "")
            size = int(length) if length.isdigit() else None
            return FileHeaders(size, headers.get("ETag"), headers.get("Last-Modified"))
        if archive.absent.get(status) == "":
            self.standing.served()
            raise FileAbsent(f"{url}: the archive no longer has this file (HTTP {status})")
        # If a status has two meanings, only the body shows which one applies, and an answer to HEAD has no body.
        if status in _REFUSALS and status not in archive.absent:
            refusal = _refused(url, status)
            self.standing.refused(refusal)
            raise self.standing.blocked or refusal
        kind = _PassingFailure if status in _PASSING else ArchiveError
        raise kind(f"{url} could not be checked (HTTP {status})")

    async def _get_once(
        self, file: ArchiveFile, path: str, most: int, headers: Mapping[str, str]
    ) -> tuple[bytes, Mapping[str, str]]:
        url = self.url_of(path)
        try:
            session = self._opened()
            async with session.get(url, headers=headers, proxy=self.proxy, allow_redirects=False) as answer:
                body = await _body(answer, most, url)
                self.traffic.bytes += len(body)
                if answer.status == 200:
                    return body, answer.headers  # not a dict: names of headers are case-insensitive
                failure = _failure(file, url, answer.status, body)
                self.traffic.absent += isinstance(failure, FileAbsent)
                raise failure
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _PassingFailure(f"{url} could not be downloaded: {type(error).__name__}: {error}") from error

    def url_of(self, path: str) -> str:
        """Return the URL of a path below the archive's base URL."""
        return f"{self.base_url.rstrip('/')}/{quote(path)}"

    def _place(self, path: str) -> Path:
        """Return where the cache keeps the file with this path below the archive's base URL."""
        host = urlsplit(self.base_url).netloc.replace(":", "_")
        return self.cache.joinpath(host, *(quote(part, safe="") for part in path.split("/")))


async def _verified(downloader: Downloader, file: ArchiveFile) -> tuple[bytes, SourceFile]:
    """Return the file and its origin. If it does not fit its digest, both are downloaded once more."""
    for headers in ({}, _FRESH):
        content, answer, published = await _with_digest(downloader, file, headers)
        downloader.traffic.files += 1
        own = await asyncio.to_thread(digest_of, "sha256", content)
        source = _source_file(file, downloader.url_of(file.path), content, own, answer, published, downloader.now())
        expected = expected_digest(file, published, answer)
        if expected is None:
            return content, source
        algorithm, digest = expected
        if (own if algorithm == "sha256" else await asyncio.to_thread(digest_of, algorithm, content)) == digest:
            return content, replace(source, checked_against=f"{algorithm} {'file' if published else 'etag'}")
    raise DigestMismatch(
        f"{file}: its {algorithm} digest is not the published one, {digest[:12]}..., after two downloads. {_LEFT}"
    )


async def _with_digest(
    downloader: Downloader, file: ArchiveFile, headers: Mapping[str, str]
) -> tuple[bytes, Mapping[str, str], str | None]:
    """Return the content, the headers that came with it, and the published digest; None if none is published.

    Raises:
        Unverified: only the digest file cannot be read.
    """
    standing = downloader.standing
    data, digest = await asyncio.gather(
        downloader.get(file, file.path, MOST_BYTES, headers),
        _published_digest(downloader, file, headers),
        return_exceptions=True,
    )
    # The answer for the data file is handled first: it shows whether the archive refuses only the digest file.
    if isinstance(data, FileRefused):
        standing.refused(data)
        await downloader.settle()
    if isinstance(data, FileAbsent) or not isinstance(data, BaseException):
        standing.served()
    if isinstance(data, BaseException):
        raise standing.blocked or data
    if isinstance(digest, ArchiveBlocked):
        raise digest
    if isinstance(digest, ArchiveError):
        error = Unverified(f"{file} could not be verified. {digest}. {_LEFT}")
        standing.refused_digest(error)
        raise error from digest
    if isinstance(digest, BaseException):
        raise digest
    return *data, digest


async def _published_digest(downloader: Downloader, file: ArchiveFile, headers: Mapping[str, str]) -> str | None:
    """Return the digest from the file next to the data file; None if there is no such file.

    A digest file without a digest, such as an HTML page, is requested once more past all caches.
    """
    if file.digest_path is None:
        return None
    name = file.path.rpartition("/")[2]
    for attempt in (headers, _FRESH):
        try:
            content, _ = await downloader.get(file, file.digest_path, _MOST_DIGEST_BYTES, attempt)
        except FileAbsent:
            downloader.standing.served_digest()
            return None
        downloader.traffic.digests += 1
        digest = parse_digest(content, name)
        if digest is not None:
            downloader.standing.served_digest()
            return digest
    raise ArchiveError(f"{downloader.url_of(file.digest_path)} holds no digest of {name}")


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
    file: ArchiveFile,
    url: str,
    content: bytes,
    sha256: str,
    answer: Mapping[str, str],
    published: str | None,
    now: datetime,
) -> SourceFile:
    return SourceFile(
        url=url,
        size=len(content),
        digest=f"sha256:{sha256}",
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
        return _refused(url, status)
    kind = _PassingFailure if status in _PASSING else ArchiveError
    return kind(f"{url} could not be downloaded (HTTP {status})")


def _refused(url: str, status: int) -> FileRefused:
    return FileRefused(f"{url}: the archive refuses to serve this file (HTTP {status})")


async def _body(answer: aiohttp.ClientResponse, most: int, url: str) -> bytes:
    parts: list[bytes] = []
    length = 0
    async for part in answer.content.iter_chunked(_CHUNK):
        length += len(part)
        if length > most:
            raise ArchiveError(f"{url} is longer than {most:,} bytes: the rest was not read")
        parts.append(part)
    return b"".join(parts)
