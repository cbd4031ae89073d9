"""An error that ends a command is reported as one sentence."""

from __future__ import annotations

from errno import EDQUOT, ENOSPC

import click
import pytest
from click.testing import CliRunner

from titan10_dagster import errors
from titan10_dagster.local.cli import Commands
from titan10_dagster.local.exit_codes import FAILED


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
