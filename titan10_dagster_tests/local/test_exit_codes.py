"""Each error has one exit code."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from titan10_dagster import errors
from titan10_dagster.local.exit_codes import EXIT_CODES, exit_code

NOW = datetime(2024, 3, 10, 12, tzinfo=UTC)


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.SettingsError("x"), 2),
        (errors.DatabaseUnavailable("x"), 3),
        (errors.StoreError("x"), 1),
        (errors.Banned("x", exchange="binance", until=NOW), 4),
        (errors.BreakerOpen("x", exchange="binance", until=NOW), 4),
        (errors.Refused("x", exchange="binance"), 4),
        (errors.TransientError("x", exchange="binance"), 1),
    ],
)
def test_an_error_has_its_exit_code(error: errors.Titan10Error, code: int) -> None:
    assert exit_code(error) == code


def test_the_help_text_documents_every_exit_code_of_an_error() -> None:
    raised = [errors.SettingsError("x"), errors.DatabaseUnavailable("x"), errors.Refused("x", exchange="binance")]
    documented = {int(line.split()[0]) for line in EXIT_CODES.splitlines() if line.strip()[:1].isdigit()}
    assert {exit_code(error) for error in [*raised, errors.StoreError("x")]} <= documented
    assert documented == {0, 1, 2, 3, 4, 130}
