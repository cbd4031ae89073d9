from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from titan10_dagster.landing.disk import put, sync_disk_of, sync_folder


@pytest.mark.parametrize("durable", [False, True])
def test_a_file_is_replaced_completely(tmp_path: Path, *, durable: bool) -> None:
    path = tmp_path / "file"
    for content in (b"first", b"second"):
        put(path, pa.py_buffer(content), durable=durable)
        assert path.read_bytes() == content
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_keeps_the_earlier_file_and_leaves_no_other(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.mkdir()
    (path / "inside").touch()
    with pytest.raises(IsADirectoryError):
        put(path, pa.py_buffer(b"content"), durable=False)
    assert [found.name for found in tmp_path.rglob("*")] == ["file", "inside"]


def test_a_folder_that_does_not_exist_cannot_be_synced(tmp_path: Path) -> None:
    for sync in (sync_folder, sync_disk_of):
        sync(tmp_path)
        with pytest.raises(FileNotFoundError):
            sync(tmp_path / "absent")


@pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="needs root on Linux, so this was NOT tested")
def test_a_disk_that_fails_at_the_sync_raises_its_error(tmp_path: Path) -> None:
    """The disk is a file of 64 MB on a file system of 8 MB, so it fails when content is written back."""
    small, mounted = tmp_path / "small", tmp_path / "mounted"
    small.mkdir()
    mounted.mkdir()
    image = small / "image"
    try:
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8M", "tmpfs", small], check=True)
        with image.open("wb") as file:
            file.truncate(64 << 20)
        subprocess.run(["mkfs.ext4", "-q", "-O", "^has_journal", image], check=True)
        subprocess.run(["mount", "-o", "loop", image, mounted], check=True)
        put(mounted / "file", pa.py_buffer(os.urandom(16 << 20)), durable=False)
        with pytest.raises(OSError, match="Input/output error"):
            sync_disk_of(mounted)
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no file system can be mounted ({error}), so this was NOT tested")
    finally:
        for folder in (mounted, small):
            subprocess.run(["umount", "-q", folder], check=False)
