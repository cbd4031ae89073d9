"""Write RESULTS.md. Each benchmark replaces its own section and keeps the other sections."""

from __future__ import annotations

import os
import platform
import re
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
HEADER = """# Results

`make bench` writes this file. The first line of a section has the day and the machine of the measurement. Figures of
different machines cannot be compared. Compare only figures of one section: one machine measured them, in turns.
"""
_RENAMED = {"Beside what else one could take": "Compared with other tools"}  # former titles of sections
_PACKAGES = ("ccxt", "dagster", "numpy", "pandas", "psycopg2-binary", "pyarrow")


def write(title: str, text: str, *, beside: str, path: Path = RESULTS) -> None:
    """Write `text` (Markdown) as the section `## title`. Replace an existing section, or append a new section.

    `beside`: the measured servers and their versions, for the line with the machine and the packages.
    """
    sections = _sections(path.read_text(encoding="utf-8") if path.exists() else "")
    sections[title] = f"{machine(beside)}\n\n{text.strip()}"
    body = "".join(f"\n## {name}\n\n{section}\n" for name, section in sections.items())
    path.write_text(HEADER + body, encoding="utf-8")


def machine(beside: str) -> str:
    """Return a line with the day, this machine, the versions of the important packages, and `beside`."""
    versions = ", ".join(f"{name} {version(name)}" for name in _PACKAGES)
    day = datetime.now(UTC).date()
    return f"{day}: {os.cpu_count()} cores, Python {platform.python_version()}, {versions}, {beside}."


def _sections(text: str) -> dict[str, str]:
    """Return the sections by title, in their order. The header before the first section is dropped."""
    _, *parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    titles = (_RENAMED.get(title, title) for title in parts[::2])
    return {title: section.strip() for title, section in zip(titles, parts[1::2], strict=True)}
