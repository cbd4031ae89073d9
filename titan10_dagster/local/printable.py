"""Functions that make text from exchanges and databases harmless for a terminal."""

from __future__ import annotations

import os
import sys
from io import TextIOWrapper
from pathlib import Path


def printable(text: str) -> str:
    """Return the text with control characters written as escapes. Some control characters move a terminal's cursor."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def printable_lines(text: str) -> str:
    """Return the text with control characters written as escapes, except for line breaks."""
    return "\n".join(printable(line) for line in text.split("\n"))


def prepare_output() -> None:
    """Make standard output usable if it is closed (`>&-`), or if the locale cannot encode the name of a market."""
    if sys.stdout is None:
        sys.stdout = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115  # open until the process ends
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")
