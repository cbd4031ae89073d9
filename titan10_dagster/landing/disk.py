"""Writes complete files, and syncs files to the disk.

A file that was synced keeps its content after a power failure.
"""

from __future__ import annotations

import ctypes
import os
import secrets
import sys
from pathlib import Path

import pyarrow as pa


def put(path: Path, content: pa.Buffer, *, durable: bool) -> None:
    """Write a file under a temporary name, and then rename it.

    If `durable` is True, the content is synced to the disk before the rename, and the folder is synced after the
    rename.

    Raises OSError if the file cannot be written or synced. An earlier file at the path is replaced only by a complete
    new file.
    """
    # Each temporary name is different. Otherwise two processes that write the same slice would use the same file.
    temporary = path.with_name(f".{secrets.token_hex(8)}.tmp")
    try:
        with temporary.open("xb") as file:
            file.write(content)
            file.flush()
            if durable:
                os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
    if durable:
        sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Sync the names of the files in a folder to the disk. The contents of the files are not synced.

    Raises OSError if the folder does not exist, or if the disk reports an error.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_disk_of(folder: Path) -> None:
    """Sync all files in the file system of the folder to the disk. On other systems than Linux, sync all disks.

    One sync of the whole file system takes much less time than a separate sync of each file.

    Raises OSError if the folder does not exist. On Linux, OSError is also raised if the disk reports an error.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        if sys.platform != "linux":
            os.sync()
        elif ctypes.CDLL(None, use_errno=True).syncfs(descriptor) != 0:
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code), str(folder))
    finally:
        os.close(descriptor)
