"""Real disks with special properties, mounted for a test. Only root can mount them; otherwise the test is skipped."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

IMAGE_BYTES = 32 << 20


@contextmanager
def small_disk(folder: Path, size: str) -> Iterator[None]:
    """Mount a disk of this size, such as "160m", at the folder."""
    if os.geteuid() != 0:
        pytest.skip("only root can mount a small disk, so this was NOT tested")
    _run("mount", "-t", "tmpfs", "-o", f"size={size},mode=0711", "tmpfs", folder)
    try:
        yield
    finally:
        _run("umount", "-l", folder)


@contextmanager
def disk_that_ignores_case(folder: Path) -> Iterator[Path]:
    """Mount an NTFS disk that ignores the case of file names, as on Windows and usually on macOS. Yield its folder."""
    if os.geteuid() != 0 or not Path("/dev/fuse").exists() or not (shutil.which("mkfs.ntfs") and _driver()):
        pytest.skip("an NTFS disk needs root, /dev/fuse and the package ntfs-3g, so this was NOT tested")
    image, disk = folder / "ntfs.img", folder / "disk"
    disk.mkdir()
    with image.open("wb") as file:
        file.truncate(IMAGE_BYTES)
    _run("mkfs.ntfs", "--force", "--fast", "--quiet", image)
    _run(_driver(), "-o", "ignore_case", image, disk)
    try:
        (disk / "Case").touch()
        assert (disk / "case").exists(), "the disk does not ignore case"
        (disk / "case").unlink()
        yield disk
    finally:
        _run("umount", "-l", disk)


def _driver() -> str | None:
    return shutil.which("lowntfs-3g")  # `ntfs-3g` has no option `ignore_case`


def _run(*command: str | Path | None) -> None:
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
