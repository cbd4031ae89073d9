"""The folders below the setting `data`."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryFile

from titan10_dagster.errors import SettingsError


def ensure_directory(folder: Path, *, mode: int = 0o777) -> Path:
    """Create a folder below `data` and its parents where they do not exist, and return it.

    Raises:
        SettingsError: the folder cannot be created, or no file can be written in it.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=mode)
        with TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise SettingsError(
            f"data: {folder} cannot be created or written to ({error.strerror}): set `data` to a folder that this "
            "account may write to."
        ) from None
