"""The conditions under which no more files of an archive are requested in a run."""

from __future__ import annotations

import pytest

from titan10_dagster.archives.standing import FileRefused, Standing
from titan10_dagster.errors import ArchiveError

REFUSED = FileRefused("https://archive/file.zip: the archive refuses to serve this file (HTTP 403)")
FAILED = ArchiveError("https://archive/file.zip could not be downloaded (HTTP 503)")


def test_two_refusals_block_an_archive_that_served_nothing() -> None:
    standing = Standing()
    standing.refused(REFUSED)
    assert standing.blocked is None
    standing.refused(REFUSED)
    assert "refuses this address" in str(standing.blocked)
    assert "HTTP 403" in str(standing.blocked)


def test_a_refused_file_of_an_archive_that_serves_others_does_not_block_it() -> None:
    standing = Standing()
    standing.served()
    standing.refused(REFUSED)
    standing.refused(REFUSED)
    standing.served()
    standing.refused(REFUSED)
    assert standing.blocked is None


def test_three_refusals_in_a_row_block_the_archive() -> None:
    standing = Standing()
    standing.served()
    for _ in range(3):
        assert standing.blocked is None
        standing.refused(REFUSED)
    assert standing.blocked is not None


def test_data_files_do_not_make_up_for_refused_digest_files() -> None:
    standing = Standing()
    for _ in range(3):
        assert standing.blocked is None
        standing.served()
        standing.refused_digest(REFUSED)
    assert "serves no digest files" in str(standing.blocked)


def test_one_digest_file_makes_up_for_refused_ones() -> None:
    standing = Standing()
    for _ in range(5):
        standing.refused_digest(REFUSED)
        standing.served_digest()
    assert standing.blocked is None


@pytest.mark.parametrize("usable_after", [3, 7])
def test_eight_useless_files_in_a_row_block_the_archive(usable_after: int) -> None:
    standing = Standing()
    for _ in range(usable_after):
        standing.failed(FAILED)
    standing.usable()
    for _ in range(8):
        assert standing.blocked is None
        standing.failed(FAILED)
    assert "8 files in a row" in str(standing.blocked)


def test_the_first_reason_stays() -> None:
    standing = Standing()
    standing.refused(REFUSED)
    standing.refused(REFUSED)
    first = standing.blocked
    assert first is not None
    standing.refused(REFUSED)
    assert standing.blocked is first
