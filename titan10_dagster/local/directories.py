"""Creates the folders below the folder of the setting `data`.

The folders contain passwords, logs and sockets. Therefore other accounts cannot read a folder that this module creates.
"""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryFile

from titan10_dagster.errors import SettingsError

PRIVATE = 0o700
PRIVATE_FILE = 0o600
# If root starts the embedded PostgreSQL, the server runs as another account. This account must be able to reach the
# server's folder below `data`.
PASSABLE = 0o711


def ensure_directory(folder: Path) -> Path:
    """Create a folder below `data`, and its missing parents. Return the folder.

    New folders are private. The rights of existing folders do not change, because you may share them on purpose.

    Raises:
        SettingsError: the folder cannot be created, or no file can be written in it.
    """
    try:
        _create(folder, PRIVATE)
        with TemporaryFile(dir=folder):
            return folder
    except OSError as error:
        raise SettingsError(
            f"data: {folder} cannot be created or written to ({error.strerror}): set `data` to a folder that this "
            "account may write to."
        ) from None


def ensure_private_file(file: Path) -> Path:
    """Create a file that other accounts cannot read, and return its path.

    The rights of an existing file do not change.
    """
    file.touch(mode=PRIVATE_FILE)
    return file


def _create(folder: Path, mode: int) -> None:
    if folder.is_dir():
        return
    _create(folder.parent, PASSABLE if os.geteuid() == 0 else PRIVATE)
    folder.mkdir(exist_ok=True)
    folder.chmod(mode)  # the umask changes the mode of mkdir, but not the mode of chmod
