"""Download candle files over HTTP, verify each against its published digest, and keep the verified files in a cache.

Each file in the cache is complete, because it is written under a temporary name and then renamed. If the archive has no
digest for a file, the file is kept without verification. A small JSON file records the origin of each file. After a
backfill was killed, the next run downloads only the files that are not in the cache yet.
"""

from __future__ import annotations

import asyncio
import zlib
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

MOST_BYTES = 256 << 20  # if a compressed file has more bytes than this, its download is stopped
_MOST_DIGEST_BYTES = 4096
_MOST_OF_A_PAGE = 1 << 16  # bytes
_CHUNK = 1 << 18
# These request headers bypass the caches between the archive and this machine.
_FRESH = {"Cache-Control": "no-cache", "Pragma": "no-cache"}
# Without this header, web servers and caches possibly compress a text. Data files are compressed already.
_AS_IT_IS = {"Accept-Encoding": "identity"}
_PASSING = frozenset({408, 425, 429, 500, 502, 503, 504})
_LEFT = "Nothing of this file is stored. Its candles are requested from the next source."
_REFUSALS = (401, 403, 451)


class FileAbsent(ArchiveError):
    """The archive does not have the file, or has not published the file yet."""


class Unverified(ArchiveError):
    """The archive publishes digests, but the file could not be verified. Nothing of the file is stored."""


class DigestMismatch(Unverified):
    """The file was downloaded twice, and neither download matched the published digest."""


class _PassingFailure(ArchiveError):
    """A failure that is probably temporary, so another attempt can succeed."""


@dataclass(frozen=True)
class Download:
    """The content of a file and its origin. `cached`: whether the file was read from the cache, without a request."""

    content: bytes
    source: SourceFile
    cached: bool


@dataclass
class Traffic:
    """The counts so far: downloaded data files and digest files, absent files, retries, and downloaded bytes."""

    files: int = 0
    digests: int = 0
    absent: int = 0
    retries: int = 0
    bytes: int = 0


@dataclass
class Downloader:
    """A client that downloads files of one archive, several files at once. Use it inside `async with`.

    base_url: the scheme and host of the archive, of a mirror or of the sandbox.
    cache: the folder of verified files.
    connections: the maximum number of simultaneous requests.
    attempts: the maximum number of attempts at one request.
    seconds: the timeout of one request.
    standing: the object that decides whether more files are requested. `archives.fetch` reports to this object whether
        files are usable.
    wait: tenacity's pause between two attempts at one request.
    on_file: a function that is called with each verified file, downloaded or from the cache.
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
    # Each file needs one of these places while it is requested. Further files wait for a place. If the archive is
    # blocked while they wait, they are not requested.
    _places: asyncio.Semaphore = field(init=False)
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
            FileAbsent: the archive does not have the file.
            Unverified: the digest file could not be read.
            DigestMismatch: the file does not match its published digest. A second download that bypasses all caches
                does not match either.
            ArchiveBlocked: the archive serves nothing useful to this IP address.
            ArchiveError: the file could not be downloaded for another reason.
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
        """Return the HTTP headers that describe a file, without downloading the file.

        `url`: a URL that begins with `url_of("")`.

        Raises:
            FileAbsent: the archive no longer has the file.
            ArchiveBlocked: the archive refuses this IP address.
            ArchiveError: the answer does not show whether the archive has the file.
        """
        found: FileHeaders = await _tries(self)(self._head_once, archive, url)
        return found

    async def settle(self) -> None:
        """Wait until an answer shows whether the archive refuses this IP address, or until no answer is pending."""
        while self._under_way and not (self.standing.has_served or self.standing.blocked):
            self._answer.clear()
            await self._answer.wait()

    def forget(self, url: str) -> None:
        """Remove a file from the cache, so that the file is downloaded again.

        `url`: a URL that begins with `url_of("")`.
        """
        forget_cached(self._place(unquote(url.removeprefix(self.url_of("")))))

    def is_cached(self, file: ArchiveFile) -> bool:
        """Return whether the file is in the cache. A file in the cache is requested again only if it is damaged."""
        return is_cached(self._place(file.path))

    async def get(
        self, file: ArchiveFile, path: str, most: int, headers: Mapping[str, str]
    ) -> tuple[bytes, Mapping[str, str]]:
        """Return the body and the headers of the archive's answer for one path.

        After a failure that is probably temporary, the request is repeated.

        `path`: the path of a data file or of its digest file, below the base URL.
        `most`: the maximum length of the body in bytes.

        Raises:
            FileAbsent: the archive does not have the file.
            FileRefused: the archive refuses to serve the file.
            ArchiveBlocked: the archive serves nothing useful to this IP address.
            ArchiveError: the file could not be downloaded for another reason.
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
        # Some archives use the same status for absent and for refused files, and an answer to HEAD has no body that
        # shows the difference. Therefore such a status does not count as a refusal here.
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
                    # the headers keep aiohttp's type, because it ignores upper and lower case in the names of headers
                    return body, answer.headers
                failure = _failure(file, url, answer.status, _plain(body, answer))
                self.traffic.absent += isinstance(failure, FileAbsent)
                raise failure
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise _PassingFailure(f"{url} could not be downloaded: {type(error).__name__}: {error}") from error

    def url_of(self, path: str) -> str:
        """Return the URL of a path below the archive's base URL."""
        return f"{self.base_url.rstrip('/')}/{quote(path)}"

    def _place(self, path: str) -> Path:
        """Return the path of a file in the cache. `path`: the file's path below the archive's base URL."""
        host = urlsplit(self.base_url).netloc.replace(":", "_")
        return self.cache.joinpath(host, *(quote(part, safe="") for part in path.split("/")))


async def _verified(downloader: Downloader, file: ArchiveFile) -> tuple[bytes, SourceFile]:
    """Return the content of the file and its origin.

    If the content does not match the digest, the file and its digest file are downloaded once more.
    """
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
        f"{file} was downloaded twice, but its {algorithm} digest is not the published one ({digest[:12]}...). {_LEFT}"
    )


async def _with_digest(
    downloader: Downloader, file: ArchiveFile, headers: Mapping[str, str]
) -> tuple[bytes, Mapping[str, str], str | None]:
    """Return the file's content, the headers of the answer, and the published digest (None if there is no digest).

    Raises:
        Unverified: the data file was downloaded, but its digest file cannot be read.
    """
    standing = downloader.standing
    data, digest = await asyncio.gather(
        downloader.get(file, file.path, MOST_BYTES, headers),
        _published_digest(downloader, file, headers),
        return_exceptions=True,
    )
    # The answer for the data file is handled first. If the archive refuses this file, the archive is the problem, and a
    # failure of the digest file does not count.
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
    """Return the digest from the digest file; None if the archive has no digest file for this file.

    If the digest file contains no digest (for example if it is an HTML page), it is requested once more. The second
    request bypasses all caches.
    """
    if file.digest_path is None:
        return None
    name = file.path.rpartition("/")[2]
    for attempt in (headers, _FRESH):
        try:
            content, _ = await downloader.get(file, file.digest_path, _MOST_DIGEST_BYTES, {**attempt, **_AS_IT_IS})
        except FileAbsent:
            downloader.standing.served_digest()
            return None
        downloader.traffic.digests += 1
        digest = parse_digest(content, name)
        if digest is not None:
            downloader.standing.served_digest()
            return digest
    raise ArchiveError(f"{downloader.url_of(file.digest_path)} does not contain a digest of {name}")


def _tries(downloader: Downloader) -> AsyncRetrying:
    """Return tenacity's retry controller. It repeats a request after a temporary failure and counts the retries."""
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


def _plain(body: bytes, answer: aiohttp.ClientResponse) -> bytes:
    """Return the beginning of an error page, unpacked. The session unpacks no answer, because files stay compressed."""
    if answer.headers.get("Content-Encoding") != "gzip":
        return body
    try:
        return zlib.decompressobj(wbits=31).decompress(body, _MOST_OF_A_PAGE)
    except zlib.error:
        return body


def _refused(url: str, status: int) -> FileRefused:
    return FileRefused(f"{url}: the archive refuses to serve this file (HTTP {status})")


async def _body(answer: aiohttp.ClientResponse, most: int, url: str) -> bytes:
    parts: list[bytes] = []
    length = 0
    async for part in answer.content.iter_chunked(_CHUNK):
        length += len(part)
        if length > most:
            raise ArchiveError(f"{url} is longer than {most:,} bytes, so the download was stopped")
        parts.append(part)
    return b"".join(parts)
