"""The order of the tests, and the groups in which pytest-xdist gives them to its processes (`--dist loadgroup`).

The tests of a file are one group, so that the fixtures of the file are created once. There are three exceptions:

- Tests of whole installations (`e2e/`) are one group, because each starts more processes than a machine has cores. They
  run first. Meanwhile the other processes run all other tests.
- Simulated weeks take longest and share no fixture. They come next, and each week is a separate group.
- Tests marked `alone` come last. At this time the other processes have few tests left, so few tests have to wait.
"""

from __future__ import annotations

from enum import IntEnum, auto
from pathlib import Path

import pytest

_TESTS = Path(__file__).parent


class _Turn(IntEnum):
    INSTALLATIONS = auto()
    SIMULATION = auto()
    USUAL = auto()
    ALONE = auto()


def arrange(items: list[pytest.Item]) -> None:
    """Sort the tests in place, and mark each with its group."""
    items.sort(key=_turn_of)
    for item in items:
        turn = _turn_of(item)
        if turn is _Turn.USUAL:
            item.add_marker(pytest.mark.xdist_group(str(item.path.relative_to(_TESTS))))
        elif turn is not _Turn.SIMULATION:
            item.add_marker(pytest.mark.xdist_group(turn.name.lower()))


def _turn_of(item: pytest.Item) -> _Turn:
    if item.get_closest_marker("alone"):
        return _Turn.ALONE
    folder = item.path.relative_to(_TESTS).parts[0]
    return {"e2e": _Turn.INSTALLATIONS, "simulation": _Turn.SIMULATION}.get(folder, _Turn.USUAL)
