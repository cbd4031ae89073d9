"""Functions that make text from exchanges and databases harmless for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """Return the text with control characters, such as those that move a terminal's cursor, written as escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode() for character in text
    )


def printable_lines(text: str) -> str:
    """Return the text with control characters written as escapes, except for line breaks."""
    return "\n".join(printable(line) for line in text.split("\n"))
