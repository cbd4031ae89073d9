"""A source file survives its way through JSON, and nothing else passes for one."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from titan10_dagster.candles.source_files import SourceFile

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
