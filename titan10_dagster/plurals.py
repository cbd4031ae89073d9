"""Numbers with nouns, for sentences."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return the number and the noun as text, for example "1 line" or "1,440 lines".

    `noun`: the singular form. The plural form must be this form with an "s" at the end.
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
