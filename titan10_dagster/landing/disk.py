"""Writes complete files, and syncs files to the disk.

A synced file has its content also after a power failure.
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

    If `durable` is True, the content is synced to the disk before the file is renamed, and its new name afterwards.

    Raises OSError if the file cannot be written. In this case, an earlier file at the path still exists.
    """
    # Each temporary name is different, because two processes that write the same slice must not use the same file.
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
    """Sync the names of a folder's files to the disk.

    Raises OSError if the folder does not exist, or if the disk reports an error.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_disk_of(folder: Path) -> None:
    """Sync all files in the file system of the folder to the disk. On other systems than Linux, sync all disks.

    This takes much less time than one sync for each file.

    Raises OSError if the folder does not exist, or if the disk reports an error.
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
