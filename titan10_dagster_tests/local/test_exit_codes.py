"""Each error has one exit code."""

from __future__ import annotations

from datetime import UTC, datetime
from errno import EDQUOT, ENOSPC

import click
import pytest
from click.testing import CliRunner

from titan10_dagster import errors
from titan10_dagster.local.cli import Commands
from titan10_dagster.local.exit_codes import EXIT_CODES, FAILED, exit_code

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


@pytest.mark.parametrize(
    ("error", "words", "has_trace"),
    [
        (OSError(ENOSPC, "No space left on device"), "the output cannot be written: No space left on device", False),
        (OSError(EDQUOT, "Disk quota exceeded", "/x"), "/x cannot be written: Disk quota exceeded", False),
        (ZeroDivisionError("by zero"), "unexpected ZeroDivisionError: by zero. Please report this error", True),
        (
            errors.TransientError("x: refused. The request is repeated.", exchange="x"),
            "x: refused. Run the same command again later.",
            False,
        ),
    ],
)
def test_an_error_that_no_command_expects_has_a_sentence(error: Exception, words: str, has_trace: bool) -> None:
    @click.group(cls=Commands, invoke_without_command=True)
    def command() -> None:
        raise error

    done = CliRunner().invoke(command)
    assert done.exit_code == FAILED
    assert words in done.stderr
    assert ("Traceback" in done.stderr) == has_trace
