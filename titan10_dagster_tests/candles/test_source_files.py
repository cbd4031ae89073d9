"""A source file is unchanged after conversion to JSON and back. Other JSON is rejected."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from titan10_dagster.candles.source_files import FileHeaders, SourceFile, is_replaced

START = datetime(2024, 3, 1, tzinfo=UTC)
FILE = SourceFile(
    url="https://example.com/BTCUSDT-1m-2024-03-01.zip",
    size=123_456,
    digest="sha256:00ff",
    published_digest="00ff",
    checked_against="sha256 file",
    etag='"abc"',
    last_modified="Sat, 02 Mar 2024 08:32:00 GMT",
    read_at=START + timedelta(days=2, microseconds=7),
    start=START,
    end=START + timedelta(days=1),
)
UNPUBLISHED = replace(FILE, published_digest=None, checked_against=None, etag=None, last_modified=None)


@pytest.mark.parametrize("file", [FILE, UNPUBLISHED], ids=["published digest", "no digest"])
def test_it_is_read_back_from_json_text_as_it_was(file: SourceFile) -> None:
    read = SourceFile.from_json(json.loads(json.dumps(file.to_json())))
    assert read == file
    assert read.read_at.tzinfo is not None


@pytest.mark.parametrize(
    ("change", "error"),
    [
        ({"start": "yesterday"}, ValueError),
        ({"start": None}, TypeError),
        ({"unknown": 1}, TypeError),
    ],
)
def test_other_values_are_refused(change: dict[str, object], error: type[Exception]) -> None:
    with pytest.raises(error):
        SourceFile.from_json({**FILE.to_json(), **change})


@pytest.mark.parametrize(("name", "error"), [("end", KeyError), ("url", TypeError)])
def test_an_absent_value_is_refused(name: str, error: type[Exception]) -> None:
    values = FILE.to_json()
    del values[name]
    with pytest.raises(error):
        SourceFile.from_json(values)


KNOWN = FileHeaders(100, '"a"', "Mon, 01 Jan 2024 08:32:00 GMT")
LATER = "Tue, 02 Jan 2024 08:32:00 GMT"


@pytest.mark.parametrize(
    ("found", "replaced"),
    [
        (KNOWN, False),
        (FileHeaders(101, '"a"', KNOWN.last_modified), True),
        (FileHeaders(100, '"b"', KNOWN.last_modified), True),
        (FileHeaders(100, 'W/"a"', KNOWN.last_modified), False),
        (FileHeaders(100, '"a"', LATER), False),  # the same file on another server
        (FileHeaders(100, None, LATER), True),
        (FileHeaders(None, '"a"', None), False),
        (FileHeaders(None, None, None), False),
        (FileHeaders(100, None, None), False),
    ],
)
def test_size_then_etag_then_date_show_a_replaced_file(found: FileHeaders, replaced: bool) -> None:
    assert is_replaced(KNOWN, found) is replaced
