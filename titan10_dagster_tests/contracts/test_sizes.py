"""Limits for the size of modules and classes. A module has one topic, and a class is one thing."""

from __future__ import annotations

import pytest

from titan10_dagster_tests.contracts.sources import classes, lines, modules

LONGEST_MODULE = 450  # lines
MOST_METHODS = 15

# `Candles` is a column store: its methods are small and all of the same kind.
LARGE_CLASSES = {"candles/columns.py:Candles"}


@pytest.mark.parametrize("module", [module for module in modules() if not module.startswith("sandbox/")])
def test_modules_are_short(module: str) -> None:
    assert lines(module) <= LONGEST_MODULE, f"{module} is more than one topic: split it"


def test_classes_are_small() -> None:
    for module in modules():
        for name, methods in classes(module):
            key = f"{module}:{name}"
            if key not in LARGE_CLASSES:
                assert methods <= MOST_METHODS, f"{key} has {methods} methods: split it"
