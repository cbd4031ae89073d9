"""The archives of the sandbox have files with matching digests. A test can add defects."""

from __future__ import annotations

import csv
import gzip
import hashlib
import io
import sys
import zipfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime, timedelta

import openpyxl
import pytest

from titan10_dagster.exchanges.archive_record import Archive, Cadence
from titan10_dagster.exchanges.venues.registry import all_venues
from titan10_dagster.sandbox import archives
from titan10_dagster.sandbox.archives import SHELVES, FileServer, _bomb, _gzip_bomb, _workbook, _zip_bomb
from titan10_dagster.sandbox.server import Sandbox

NOW = datetime(2025, 4, 20, 12, tzinfo=UTC)
DAY = date(2025, 4, 10)
ARCHIVES = {name: venue.archive for name, venue in all_venues().items() if venue.archive and name in SHELVES}


@pytest.fixture(scope="module")
def sandbox() -> Iterator[Sandbox]:
    with Sandbox(list(ARCHIVES), clock=NOW) as sandbox:
        yield sandbox


@pytest.fixture
def files(sandbox: Sandbox) -> Iterator[FileServer]:
    """The archive of binance, without defects before and after the test."""
    server = sandbox.files["binance"]
    yield server
    server.clear()


def path_of(server: FileServer, archive: Archive, label: date = DAY) -> str:
    """Return the path of a daily file according to the venue's record."""
    tree = next(tree for tree in archive.trees if tree.cadence is Cadence.DAILY)
    name = next(iter(server.site.series.values())).instrument.name
    parts = [name.base_id, name.quote_id]
    symbol = tree.separator.join(reversed(parts) if tree.quote_first else parts).upper()
    return tree.path.format(symbol=symbol, timeframe=tree.timeframes["1m"], label=label)


def binance(files: FileServer, label: date = DAY) -> str:
    archive = ARCHIVES["binance"]
    assert archive is not None
    return path_of(files, archive, label)


def rows_of(body: bytes) -> list[list[str]]:
    with zipfile.ZipFile(io.BytesIO(body)) as archive:
        (name,) = archive.namelist()
        return list(csv.reader(io.StringIO(archive.read(name).decode())))


@pytest.mark.parametrize("exchange", ARCHIVES)
def test_each_archive_serves_the_paths_of_its_venue_record(sandbox: Sandbox, exchange: str) -> None:
    archive, server = ARCHIVES[exchange], sandbox.files[exchange]
    assert archive is not None
    path = path_of(server, archive)
    assert server.owns(f"/{path}")
    reply = server.answer(path)
    assert reply.status == 200
    assert reply.headers["ETag"].strip('"') == hashlib.md5(reply.body, usedforsecurity=False).hexdigest()
    unpacked = gzip.decompress(reply.body) if path.endswith(".gz") else reply.body
    assert len(unpacked) > 10_000
    assert not server.owns("/api/v3/klines")


def test_a_file_has_the_candles_of_its_day_and_its_digest(files: FileServer, sandbox: Sandbox) -> None:
    path = binance(files)
    body = files.answer(path).body
    symbol = next(iter(files.site.series))
    start = datetime(2025, 4, 10, tzinfo=UTC)
    truth = sandbox.truth("binance", symbol, start, start + timedelta(days=1))
    assert [int(row[0]) for row in rows_of(body)] == [int(time) * 1000 for time in truth[:, 0]]
    digest, name = files.answer(f"{path}.CHECKSUM").body.decode().split()
    assert digest == hashlib.sha256(body).hexdigest()
    assert path.endswith(name)
    assert files.answer(path).body == body, "the same bytes each time"


def test_a_file_that_is_not_published_yet_does_not_exist(files: FileServer) -> None:
    reply = files.answer(binance(files, NOW.date()))
    assert reply.status == 404
    assert b"NoSuchKey" in reply.body


@pytest.mark.parametrize(
    ("defect", "status"), [("missing", 404), ("forbidden", 403), ("unavailable", 503), ("html", 200)]
)
def test_a_defect_replaces_the_answer_until_it_is_cleared(files: FileServer, defect: str, status: int) -> None:
    path = binance(files)
    good = files.answer(path)
    files.defect(defect)
    bad = files.answer(path)
    assert bad.status == status
    assert bad.body != good.body
    files.clear()
    assert files.answer(path) == good


def test_a_defect_strikes_only_its_files_and_only_so_many_times(files: FileServer) -> None:
    files.defect("missing", match="2025-04-10", times=2)
    other = binance(files, DAY + timedelta(days=1))
    assert files.answer(other).status == 200
    assert [files.answer(binance(files)).status for _ in range(3)] == [404, 404, 200]


@pytest.mark.parametrize(
    ("defect", "count"),
    [
        ("truncated_rows", lambda rows: rows // 2),
        ("hole", lambda rows: rows - 60),
        ("duplicates", lambda rows: 2 * rows),
        ("conflicts", lambda rows: rows + 10),
    ],
)
def test_a_defect_of_the_rows_changes_their_number(files: FileServer, defect: str, count: Callable[[int], int]) -> None:
    path = binance(files)
    rows = len(rows_of(files.answer(path).body))
    files.defect(defect)
    assert len(rows_of(files.answer(path).body)) == count(rows)


def test_a_stale_digest_is_not_that_of_the_file(files: FileServer) -> None:
    path = binance(files)
    files.defect("stale_digest")
    digest = files.answer(f"{path}.CHECKSUM").body.decode().split()[0]
    assert digest != hashlib.sha256(files.answer(path).body).hexdigest()


def test_an_unknown_defect_is_refused(files: FileServer) -> None:
    with pytest.raises(ValueError, match="'no_such' is not a defect of a file"):
        files.defect("no_such")


def test_threads_may_request_files_at_the_same_time(files: FileServer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The server uses threads to answer requests for files.

    With small caches, the threads evict each other's entries.
    """
    monkeypatch.setattr(archives, "_KEPT", 1)
    monkeypatch.setattr(archives, "_FILES_KEPT", 1)
    monkeypatch.setattr(archives, "_packed_files", {})
    # real packing would take too long
    monkeypatch.setattr(archives, "_packed", lambda site, shelf, path, rows, defects: path.encode())
    paths = [binance(files, DAY - timedelta(days=number)) for number in range(12)]
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            replies = list(threads.map(files.answer, paths * 60))
    finally:
        sys.setswitchinterval(before)
    assert {reply.status for reply in replies} == {200}
    assert len({reply.body for reply in replies}) == len(paths)


def test_a_workbook_has_the_cells_that_openpyxl_writes() -> None:
    lines: list[list[object]] = [["timestamp", "open & <high>"], [1_741_046_400, "0.1"], [1_741_046_414.789, "None"]]
    book = openpyxl.Workbook(write_only=True)
    sheet = book.create_sheet()
    for line in lines:
        sheet.append(line)
    written = io.BytesIO()
    book.save(written)
    for content in (_workbook(lines), written.getvalue()):
        read = openpyxl.load_workbook(io.BytesIO(content), read_only=True, data_only=True)
        assert [list(row) for row in read.worksheets[0].iter_rows(values_only=True)] == lines


def test_a_bomb_is_a_whole_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archives, "_BOMB_MEGABYTES", 3)  # unpacking the usual size takes seconds
    monkeypatch.setattr(archives, "_bomb", _bomb.__wrapped__)
    with zipfile.ZipFile(io.BytesIO(_zip_bomb("candles.csv"))) as archive:
        assert archive.read("candles.csv") == b"0" * (3 << 20)
    assert gzip.decompress(_gzip_bomb()) == b"0" * (3 << 20)
