"""Checks of the settings files: titan10.toml must exist, and other users should not be able to read secrets."""

from __future__ import annotations

import re
from codecs import BOM_UTF8
from io import StringIO
from pathlib import Path

from dotenv.parser import parse_stream

from titan10_dagster.errors import SettingsError

# Matches a line with a login in a URL, with alert URLs or with a password. Comments do not match.
_SECRET = re.compile(r"^[^#\n]*(://[^/\s\"']+@|urls\b.*://|password\w*\s*=\s*\S)", re.IGNORECASE | re.MULTILINE)
# Matches a line of .env that begins with the name of a setting. Comments do not match.
_OUR_LINE = re.compile(r"^(export\s+)?['\"]?TITAN10_", re.IGNORECASE)


def require_file(toml_file: Path, variable: str) -> None:
    """Raise SettingsError if titan10.toml is missing, or if titan10.toml or .env cannot be read.

    pydantic-settings would silently treat a missing file as an empty file. `variable`: the environment variable with
    the folder of titan10.toml.
    """
    try:
        dotenv = toml_file.with_name(".env")
        for file in (toml_file, dotenv):
            _refuse_other_kinds(file)
            _refuse_dangling_link(file)
            if _begins_with_mark(file):
                raise SettingsError(f"{file} begins with a byte order mark: save it as UTF-8 without this mark (BOM).")
        if not toml_file.is_file():
            raise SettingsError(
                f"There is no titan10.toml in {toml_file.parent}. Change to the project's folder, or set {variable} to "
                "its path."
            )
        _refuse_unreadable_lines(dotenv)
    except PermissionError:
        raise SettingsError(
            f"{toml_file} cannot be read: this account has no right to enter its folder. Run "
            f"`chmod u+x {toml_file.parent}`, or use the account that owns the folder."
        ) from None


def _refuse_other_kinds(file: Path) -> None:
    if file.is_dir():
        raise SettingsError(
            f"{file} is a folder and must be a file. Docker creates such a folder if the file that it should mount is "
            f"missing. Remove the folder and put the project's {file.name} in its place."
        )
    if file.exists() and not file.is_file():
        raise SettingsError(
            f"{file} is a pipe, a socket or a device and must be a file. Put the project's {file.name} in its place."
        )


def _refuse_unreadable_lines(dotenv: Path) -> None:
    """Refuse lines of .env that name a setting but do not set a value. pydantic-settings would ignore these lines.

    Lines of other programs are not checked. The message does not contain the line, because it may contain a password.
    """
    if not dotenv.is_file():
        return
    try:
        text = dotenv.read_text(encoding="utf-8")
    except (OSError, ValueError):  # this error is reported later, when the settings are read
        return
    for line in parse_stream(StringIO(text)):
        stated = line.original.string.strip()
        if _OUR_LINE.search(stated) and (line.error or line.value is None):
            raise SettingsError(
                f"Line {line.original.line} of {dotenv} cannot be read: write NAME=VALUE, and end a quoted value with "
                "a quotation mark."
            )


def _refuse_dangling_link(file: Path) -> None:
    """Refuse a link to a file that does not exist. Otherwise, passwords in .env would be missing without a message."""
    if file.is_symlink() and not file.exists():
        raise SettingsError(
            f"{file} is a link to {file.readlink()}, which cannot be found. Correct or remove the link."
        )


def _begins_with_mark(file: Path) -> bool:
    """Return whether a text file begins with a byte order mark, as Windows programs write it."""
    try:
        if not file.is_file():
            return False
        with file.open("rb") as content:
            return content.read(3) == BOM_UTF8
    except OSError:  # this error is reported later, when the settings are read
        return False


def exposed_secrets(folder: Path) -> list[str]:
    """Return a warning for each settings file with passwords or tokens that other users of this machine can read."""
    warnings = []
    for name in ("titan10.toml", ".env"):
        file = folder / name
        if file.is_file() and file.stat().st_mode & 0o077 and _holds_secrets(file):
            warnings.append(f"{file} contains passwords or tokens, and other users can read it. Run: chmod 600 {file}")
    return warnings


def _holds_secrets(file: Path) -> bool:
    """Return whether a line of the file sets a URL with a login, an alert URL or a password. Comments do not count."""
    return _SECRET.search(file.read_text(errors="replace")) is not None
