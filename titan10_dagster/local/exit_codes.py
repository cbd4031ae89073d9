"""The exit codes of the commands; each has the same meaning in all commands."""

from __future__ import annotations

from titan10_dagster.errors import Blocked, DatabaseUnavailable, Refused, SettingsError, Titan10Error

DONE, FAILED, MISUSED, NO_DATABASE, SHUT_OUT, INTERRUPTED = 0, 1, 2, 3, 4, 130

EXIT_CODES = """\b
Exit codes:
  0    done
  1    something failed or is incomplete; completed work is kept
  2    invalid arguments or settings
  3    the database cannot be reached
  4    the exchange is blocked: it banned or refused requests, or its breaker is open
  130  interrupted"""


def exit_code(error: Titan10Error) -> int:
    """Return the exit code of a command that ended with this error."""
    match error:
        case SettingsError():
            return MISUSED
        case DatabaseUnavailable():
            return NO_DATABASE
        case Blocked() | Refused():
            return SHUT_OUT
        case _:
            return FAILED
