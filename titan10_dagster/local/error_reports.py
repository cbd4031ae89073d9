"""Reports an error that ended a command."""

from __future__ import annotations

import errno
import traceback
from collections.abc import Callable

from titan10_dagster.errors import Titan10Error, without_promises
from titan10_dagster.local.exit_codes import FAILED, exit_code

FULL = (errno.ENOSPC, errno.EDQUOT)  # the error numbers of a full disk


def report(error: BaseException, say: Callable[[str], None]) -> int:
    """Report the error, and return the exit code. Only unexpected errors are reported with a stack trace."""
    if isinstance(error, Titan10Error):
        # The text may promise that a request is repeated. This is not true, because the command has ended.
        say(f"Error: {without_promises(f'{error}', ' Run the same command again later.')}")
        return exit_code(error)
    if isinstance(error, OSError) and error.errno in FULL:
        name = error.filename or "the output"
        say(f"Error: {name} cannot be written: {error.strerror}. Free some space on this disk.")
        return FAILED
    traceback.print_exception(error)
    say(f"Error: unexpected {type(error).__name__}: {error}. Please report this error with the lines above.")
    return FAILED
