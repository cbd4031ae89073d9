from __future__ import annotations

import sys

import pytest

from titan10_dagster.local.tables import counts, print_lines, print_table, share


def test_markup_and_control_characters_have_no_effect(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("text",), [("[/x] [red]\x1b[2J\nBTC",)])
    assert "[/x] [red]\\x1b[2J\\nBTC" in capsys.readouterr().out


def test_lines_stay_lines_without_control_characters(capsys: pytest.CaptureFixture[str]) -> None:
    print_lines("[/x]\x1b[2J\nBTC\r")
    assert capsys.readouterr().out == "[/x]\\x1b[2J\nBTC\\r\n"


def test_numbers_are_grouped_and_aligned(capsys: pytest.CaptureFixture[str]) -> None:
    print_table(("candles",), [(1440,), (7,)], numbers={"candles"})
    assert [line for line in capsys.readouterr().out.splitlines() if line.strip()] == ["candles", "  1,440", "      7"]


def test_a_narrow_terminal_shows_whole_values(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("TERM", "dumb")
    headers, row = (
        ("exchange", "settled days", "stored", "last error"),
        ("binance", "2024-01-01 to 2024-01-31", 44_640, ""),
    )
    for columns, lines in (
        ("40", ["binance", "  settled days  2024-01-01 to 2024-01-31", "  stored        44,640"]),
        (
            "80",
            ["exchange  settled days              stored  last error", "binance   2024-01-01 to 2024-01-31  44,640"],
        ),
    ):
        monkeypatch.setenv("COLUMNS", columns)
        print_table(headers, [row])
        assert [line.rstrip() for line in capsys.readouterr().out.splitlines()] == lines


def test_only_all_is_a_hundred_percent() -> None:
    assert share(1440, 1440) == "100.00%"
    assert share(999_999, 1_000_000) == "99.99%"
    assert share(0, 0) == ""


def test_counts_are_a_phrase() -> None:
    assert counts({"unknown": 1440, "outage": 3}) == "1,440 unknown, 3 outage"
