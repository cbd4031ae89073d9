"""The folder, the account and the binaries of a server."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from titan10_dagster.local import postgres_files
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster_tests.local.servers import ask

needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root hands the server to another account")


def test_processes_that_search_for_a_folder_at_the_same_time_find_the_same_folder(open_folder: Path) -> None:
    program = (
        "import sys, pathlib; from titan10_dagster.local.postgres_files import find_place\n"
        "print(flush=True); sys.stdin.readline()\n"
        "print(find_place(pathlib.Path(sys.argv[1]), lambda _: None).folder, flush=True)"
    )
    command = [sys.executable, "-c", program, str(open_folder / "postgres")]
    pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with ExitStack() as running:
        several = [running.enter_context(subprocess.Popen(command, **pipes)) for _ in range(4)]
        for process in several:
            process.stdout.readline()  # the process has imported all modules that it needs
        for process in several:
            process.stdin.write("\n")
            process.stdin.flush()
        found = {process.stdout.readline() for process in several}
        for process in several:
            process.communicate(timeout=120)
    assert len(found) == 1


@needs_root
def test_root_hands_the_server_to_an_account_that_exists(running: EmbeddedPostgres) -> None:
    assert running.files.place.account is not None
    assert running.files.place.account.name in postgres_files.ACCOUNTS
    assert running.files.cluster.stat().st_uid == running.files.place.account.uid


@needs_root
def test_a_folder_the_account_cannot_reach_is_replaced_and_its_parents_stay_as_they_are(
    open_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(postgres_files, "SYSTEM_FOLDER", open_folder / "system")
    closed = open_folder / "home"
    closed.mkdir(mode=0o700)
    said: list[str] = []
    server = EmbeddedPostgres(closed / "clone/.titan10/postgres", say=said.append)
    assert ask(server.start(), "SELECT 1") == 1
    server.stop()
    assert server.files.folder.is_relative_to(open_folder / "system")
    assert closed.stat().st_mode & 0o777 == 0o700
    assert len(said) == 1
    assert str(server.files.folder) in said[0]


@needs_root
def test_binaries_the_account_cannot_reach_are_copied_once(open_folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    installed = postgres_files.installed_binaries()
    package = installed.parent.parent
    closed = open_folder / "home"
    closed.mkdir(mode=0o700)
    for folder in (package, package.with_name(f"{package.name}.libs")):
        if folder.exists():
            shutil.copytree(folder, closed / folder.name, symlinks=True)
    monkeypatch.setattr(postgres_files, "SYSTEM_FOLDER", open_folder / "system")
    monkeypatch.setattr(postgres_files, "installed_binaries", lambda: closed / package.name / "pginstall/bin")
    for _ in range(2):
        server = EmbeddedPostgres(open_folder / "postgres")
        assert ask(server.start(), "SELECT 1") == 1
        server.stop()
    assert server.files.place.binaries.is_relative_to(open_folder / "system")
    assert len(list((open_folder / "system").iterdir())) == 1
