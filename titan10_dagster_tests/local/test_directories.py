"""Folders below `data` are private with any umask."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from titan10_dagster.errors import SettingsError
from titan10_dagster.local.directories import ensure_directory, ensure_private_file


@pytest.fixture(autouse=True)
def open_umask() -> Iterator[None]:
    before = os.umask(0)
    yield
    os.umask(before)


def mode_of(path: Path) -> int:
    return path.stat().st_mode & 0o777


def test_new_folders_are_private(tmp_path: Path) -> None:
    logs = ensure_directory(tmp_path / "data" / "logs")
    assert mode_of(logs) == 0o700
    # As root, the embedded PostgreSQL runs as another account and must pass through, but cannot list the folder.
    assert mode_of(logs.parent) == (0o711 if os.geteuid() == 0 else 0o700)


def test_folders_that_exist_keep_their_rights(tmp_path: Path) -> None:
    (tmp_path / "shared").mkdir(mode=0o755)
    ensure_directory(tmp_path / "shared" / "logs")
    assert mode_of(ensure_directory(tmp_path / "shared")) == 0o755
    assert mode_of(tmp_path / "shared" / "logs") == 0o700


def test_a_new_file_is_private_and_an_existing_one_keeps_its_rights(tmp_path: Path) -> None:
    assert mode_of(ensure_private_file(tmp_path / "log")) == 0o600
    shared = tmp_path / "shared"
    shared.touch(mode=0o644)
    assert mode_of(ensure_private_file(shared)) == 0o644


def test_a_folder_that_cannot_be_created_is_refused_with_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match="set `data` to a folder"):
        ensure_directory(tmp_path / "file" / "data")
