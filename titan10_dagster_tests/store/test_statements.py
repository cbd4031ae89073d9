from __future__ import annotations

from datetime import timedelta

import pytest

from titan10_dagster.errors import StoreError
from titan10_dagster.store import statements
from titan10_dagster.store.statements import folder, key, of_slices, statement
from titan10_dagster_tests.store.making import DAY, a_slice


def test_statements_are_read_from_their_files() -> None:
    assert statement("write_gaps") == (folder("statements") / "write_gaps.sql").read_text()


def test_a_folder_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: object) -> None:
    monkeypatch.setattr(statements, "_PACKAGE", tmp_path)
    with pytest.raises(StoreError, match="sql/statements is missing from the package"):
        folder("statements")


def test_the_parameters_of_slices_have_their_bounds_together() -> None:
    slices = [a_slice("ETH/USDT", DAY + timedelta(days=3)), a_slice()]
    parameters = of_slices(slices)
    assert parameters["symbols"] == ["ETH/USDT", "BTC/USDT"]
    assert (parameters["first"], parameters["last"]) == (slices[1].start, slices[0].end)
    assert key(slices[1].series) == ("binance", "BTC/USDT", "1m")
