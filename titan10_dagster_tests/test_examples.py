"""The examples of property tests, as conftest.py configures them."""

from __future__ import annotations

import importlib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

NUMBER = 918_273_645


def drawn() -> list[int]:
    examples: list[int] = []

    @given(st.integers())
    def draw(number: int) -> None:
        examples.append(number)

    draw()
    return examples


def test_the_examples_do_not_depend_on_the_imported_modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = drawn()
    (tmp_path / "module_with_constants.py").write_text(f"NUMBERS = [{', '.join(str(NUMBER + n) for n in range(50))}]")
    monkeypatch.syspath_prepend(tmp_path)
    assert importlib.import_module("module_with_constants").NUMBERS[0] == NUMBER
    assert drawn() == before
