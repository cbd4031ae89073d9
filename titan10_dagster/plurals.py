"""Counts of things in sentences."""

from __future__ import annotations


def counted(number: int, noun: str) -> str:
    """Return a count with its noun, such as "1 line" or "1,440 lines". `noun`: a noun whose plural ends in -s."""
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"
