"""The fields of `--json` that docs/reference/commands.md documents."""

from __future__ import annotations

import re
from pathlib import Path

COMMANDS = Path(__file__).parents[1] / "docs/reference/commands.md"


def documented_fields(heading: str) -> set[str]:
    """Return the fields in the table below a heading, such as "`titan10 status --json`"."""
    _, _, section = COMMANDS.read_text().partition(f"\n### {heading}\n")
    table = section.partition("\n#")[0]
    found: set[str] = set()
    for names in re.findall(r"^\| (`.+?) \|", table, re.MULTILINE):
        found.update(re.findall(r"`(\w+)`", names))
    assert found, heading
    return found
