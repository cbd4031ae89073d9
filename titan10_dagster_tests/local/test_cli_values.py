"""The values of options. test_mistakes.py tests refused values."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import click
import pytest

from titan10_dagster.local import cli_values

CONTEXT, OPTION = click.Context(click.Command("x")), click.Option(["--x"])


def test_a_day_is_a_date_or_yesterday() -> None:
    assert cli_values.day(CONTEXT, OPTION, "2024-02-29") == date(2024, 2, 29)
    assert cli_values.day(CONTEXT, OPTION, "yesterday") == cli_values.today() - timedelta(days=1)
    assert cli_values.day(CONTEXT, OPTION, None) is None


@pytest.mark.parametrize(
    "text",
    ["2024-02-30", "24-1-1", "tomorrow", "2024-1-1", "20240101", "2024-W09-4", "2024-01-01T00:00", "", "0000-01-01"],
)
def test_other_texts_are_no_days(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not a date"):
        cli_values.day(CONTEXT, OPTION, text)


def test_an_instant_is_in_utc() -> None:
    expected = datetime(2024, 2, 29, 12, tzinfo=UTC)
    for text in ("2024-02-29T12:00", "2024-02-29T12:00Z", "2024-02-29T14:00+02:00"):
        assert cli_values.instant(CONTEXT, OPTION, text) == expected


@pytest.mark.parametrize("text", ["0001-01-01T00:00+14:00", "9999-12-31T23:59-14:00", "2024-01-01T00:00+25:00", "now"])
def test_an_instant_outside_the_calendar_is_refused(text: str) -> None:
    with pytest.raises(click.BadParameter, match="is not an instant"):
        cli_values.instant(CONTEXT, OPTION, text)


def test_a_folder_may_be_below_the_home_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/home/quant")
    assert cli_values.folder_of_files(CONTEXT, OPTION, "~/files") == Path("/home/quant/files")
    assert cli_values.folder_of_files(CONTEXT, OPTION, "files") == Path("files")
