"""Functions that read the values of options: days, instants, shares and folders."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from math import isnan
from pathlib import Path

import click


def day(context: click.Context, parameter: click.Parameter, value: str | None) -> date | None:
    """Return the value of an option as a UTC day."""
    if value is None:
        return None
    if value == "yesterday":
        return today() - timedelta(days=1)
    with suppress(ValueError):
        named = date.fromisoformat(value)
        if str(named) == value:  # fromisoformat also accepts 20240229 and 2024-W09-4
            return named
    sentence = f"{value!r} is not a date (YYYY-MM-DD, such as 2024-02-29, or yesterday)."
    raise click.BadParameter(sentence, context, parameter)


def instant(context: click.Context, parameter: click.Parameter, value: str | None) -> datetime | None:
    """Return the value of an option as an instant in UTC. A value without a time zone counts as UTC."""
    if value is None:
        return None
    try:
        given = datetime.fromisoformat(value)
        return given.astimezone(UTC) if given.tzinfo else given.replace(tzinfo=UTC)
    # OverflowError means that the instant in UTC is before year 1 or after year 9999
    except (ValueError, OverflowError):
        sentence = f"{value!r} is not an instant (such as 2024-02-29T12:00)."
        raise click.BadParameter(sentence, context, parameter) from None


def share_of_days(context: click.Context, parameter: click.Parameter, value: float) -> float:
    """Return the value of an option as a share. Refuse nan, because the type FloatRange accepts nan."""
    if isnan(value):
        raise click.BadParameter("nan is not a number.", context, parameter)
    return value


def today() -> date:
    """Return the current UTC day."""
    return datetime.now(UTC).date()


def folder_of_files(context: click.Context, parameter: click.Parameter, value: str) -> Path:
    """Return the value of an option as a folder.

    Refuse an empty value, because an empty path means the current folder. Unset shell variables give empty values.
    """
    if not value.strip():
        raise click.BadParameter("the name of the folder is empty.", context, parameter)
    with suppress(RuntimeError):  # RuntimeError is raised if this account has no home folder
        return Path(value).expanduser()
    return Path(value)
