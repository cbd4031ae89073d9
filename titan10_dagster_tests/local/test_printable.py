"""Control characters have no effect on a terminal."""

from __future__ import annotations

import pytest

from titan10_dagster.local.printable import printable, printable_lines


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
