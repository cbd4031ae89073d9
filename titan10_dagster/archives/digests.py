"""Read the digests that archives publish: in a file next to the data file, or in the ETag header."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Mapping

from titan10_dagster.archives.catalog import ArchiveFile

_ALGORITHMS = {32: "md5", 64: "sha256"}  # the digest algorithms by the number of hexadecimal digits of a digest
_ETAG = re.compile(r'(?:W/)?"?([0-9a-fA-F]{32})"?')


def parse_digest(content: bytes, name: str) -> str | None:
    """Read the digest from the content of a digest file, and return it in lower case.

    Two forms are known: `<hex>  <file name>` and `<hex>` alone. The result is None if the content has another form, or
    if it contains another file name than `name`.
    """
    fields = content.decode("utf-8", "replace").split()
    if not fields or not re.fullmatch(r"[0-9a-fA-F]+", fields[0]) or len(fields[0]) not in _ALGORITHMS:
        return None
    if len(fields) > 1 and fields[1].lstrip("*").rpartition("/")[2] != name:
        return None
    return fields[0].lower()


def expected_digest(file: ArchiveFile, published: str | None, answer: Mapping[str, str]) -> tuple[str, str] | None:
    """Return the algorithm and the expected digest of a data file; None if there is no published digest.

    `published`: the digest from the digest file; None if there is no digest file.
    `answer`: the headers of the HTTP response that contained the data file.
    """
    if published is not None:
        return _ALGORITHMS[len(published)], published
    etag = _ETAG.fullmatch(answer.get("ETag", ""))
    return ("md5", etag[1].lower()) if file.archive.etag_is_md5 and etag else None


def digest_of(algorithm: str, content: bytes) -> str:
    """Return the digest of the content in hexadecimal digits."""
    return hashlib.new(algorithm, content, usedforsecurity=False).hexdigest()
