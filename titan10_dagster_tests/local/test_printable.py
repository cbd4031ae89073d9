"""Control characters have no effect on a terminal."""

from __future__ import annotations

import sys
from io import BytesIO, TextIOWrapper

import pytest

from titan10_dagster.local.printable import prepare_output, printable, printable_lines


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b[2J", "\\x1b[2J"),
        ("a\rb\x07", "a\\rb\\x07"),
        ("\u202eevil", "\\u202eevil"),  # right-to-left override
        ("[/x] [red]", "[/x] [red]"),
        ("Grüße 币安", "Grüße 币安"),
    ],
)
def test_control_characters_are_written_as_escapes(text: str, shown: str) -> None:
    assert printable(text) == shown


def test_line_breaks_stay_between_lines() -> None:
    assert printable("a\nb") == "a\\nb"
    assert printable_lines("a\x1b\nb") == "a\\x1b\nb"


def test_a_locale_without_a_character_shows_its_escape(monkeypatch: pytest.MonkeyPatch) -> None:
    written = BytesIO()
    monkeypatch.setattr(sys, "stdout", TextIOWrapper(written, encoding="ascii"))
    prepare_output()
    sys.stdout.write("币/USDT\n")
    sys.stdout.flush()
    assert written.getvalue() == b"\\u5e01/USDT\n"


def test_a_closed_output_takes_everything(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # Python's value for `titan10 status >&-`
    prepare_output()
    sys.stdout.write("币/USDT\n")
    sys.stdout.flush()
    assert not sys.stdout.isatty()
    sys.stdout.close()
