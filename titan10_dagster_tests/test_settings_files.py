"""The files of the settings: refused files, and files that are reported because other users can read them."""

from __future__ import annotations

import os
import pwd
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

from titan10_dagster.errors import SettingsError
from titan10_dagster.local.cli import main
from titan10_dagster.local.exit_codes import NO_DATABASE
from titan10_dagster.settings import home, load
from titan10_dagster.settings_files import exposed_secrets, require_file

SECRET_LINES = {
    "titan10.toml": [
        "[database]\nurl = 'postgresql://me:sesame@host/x'\n",
        "[alerts]\nurls = ['tgram://token/chat']\n",
    ],
    ".env": [
        "TITAN10_DATABASE__URL=postgresql://me:sesame@host/x\n",
        "TITAN10_ALERTS__URLS=tgram://t/c\n",
        "TITAN10_PASSWORD=x\n",
    ],
}


@pytest.mark.parametrize(("name", "line"), [(name, line) for name, lines in SECRET_LINES.items() for line in lines])
def test_a_file_with_secrets_that_others_can_read_is_reported(tmp_path: Path, name: str, line: str) -> None:
    file = tmp_path / name
    file.write_text(line)
    file.chmod(0o640)
    (warning,) = exposed_secrets(tmp_path)
    assert f"chmod 600 {file}" in warning
    assert "sesame" not in warning
    file.chmod(0o600)
    assert exposed_secrets(tmp_path) == []


def test_every_command_reports_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for variable in [name for name in os.environ if name.startswith("TITAN10_")]:
        monkeypatch.delenv(variable)
    file = tmp_path / "titan10.toml"
    file.write_text("[database]\nurl = 'postgresql://me:sesame@127.0.0.1:9/x'\n")
    for mode, warnings in ((0o644, 1), (0o600, 0)):
        file.chmod(mode)
        for command in ("status", "migrate"):
            done = CliRunner().invoke(main, [command], env={"TITAN10_HOME": str(tmp_path)})
            assert done.exit_code == NO_DATABASE, done.output
            assert done.stderr.count(f"Warning: {file} contains passwords or tokens") == warnings
            assert "sesame" not in done.output


def test_the_projects_own_file_holds_no_secrets(tmp_path: Path) -> None:
    own = Path(__file__).parents[1] / "titan10.toml"
    (tmp_path / "titan10.toml").write_text(own.read_text())
    (tmp_path / "titan10.toml").chmod(0o644)
    assert exposed_secrets(tmp_path) == []


def test_a_missing_file_and_a_folder_are_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="or set X to it"):
        require_file(tmp_path / "titan10.toml", "X")
    (tmp_path / "titan10.toml").mkdir()
    with pytest.raises(SettingsError, match="is a folder and must be a file"):
        require_file(tmp_path / "titan10.toml", "X")


def test_a_folder_in_place_of_the_env_file_is_refused(tmp_path: Path) -> None:
    """Otherwise the passwords in .env would be missing without a message."""
    (tmp_path / "titan10.toml").touch()
    (tmp_path / ".env").mkdir()
    with pytest.raises(SettingsError, match=r"\.env is a folder and must be a file.*the project's \.env in its place"):
        require_file(tmp_path / "titan10.toml", "X")


@pytest.mark.parametrize(
    "line",
    [
        "TITAN10_DATABASE__URL postgresql://me:sesame@db/x",
        "TITAN10_DATABASE__URL: postgresql://me:sesame@db/x",
        'TITAN10_DATABASE__URL="postgresql://me:sesame@db/x',
        "export TITAN10_DATABASE__URL",
        "titan10_database__url",
    ],
)
def test_a_line_of_env_that_sets_nothing_is_refused_without_repeating_it(tmp_path: Path, line: str) -> None:
    """Otherwise the candles would go to another database."""
    (tmp_path / "titan10.toml").touch()
    (tmp_path / ".env").write_text(f"# TITAN10_DATA\nOTHER $(program\n{line}\n")
    with pytest.raises(SettingsError, match=r"^Line 3 of .*\.env cannot be read: write NAME=VALUE") as error:
        require_file(tmp_path / "titan10.toml", "X")
    assert "sesame" not in str(error.value)


def test_lines_of_other_programs_are_not_checked(tmp_path: Path) -> None:
    (tmp_path / "titan10.toml").touch()
    (tmp_path / ".env").write_text("OTHER\nOTHER $(program\n# TITAN10_DATA\nTITAN10_DATA='a b'  # note\n")
    require_file(tmp_path / "titan10.toml", "X")


def test_what_is_not_a_file_is_refused_for_what_it_is(tmp_path: Path) -> None:
    file = tmp_path / "titan10.toml"
    os.mkfifo(file)
    with pytest.raises(SettingsError, match="is a pipe, a socket or a device"):
        require_file(file, "X")
    for target in ("nowhere", "titan10.toml"):  # the second link is a link to itself
        file.unlink()
        file.symlink_to(target)
        with pytest.raises(SettingsError, match=f"is a link to {target}, which cannot be found"):
            require_file(file, "X")


def test_a_link_to_a_missing_env_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "titan10.toml").touch()
    (tmp_path / ".env").symlink_to("/run/secrets/nothing")
    with pytest.raises(SettingsError, match=r"\.env is a link to /run/secrets/nothing, which cannot be found"):
        require_file(tmp_path / "titan10.toml", "X")


@contextmanager
def without_rights_of_root() -> Iterator[None]:
    """If root runs the tests, act as another account, because root may enter every folder."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(pwd.getpwnam("nobody").pw_uid)
    try:
        yield
    finally:
        os.seteuid(0)


def test_files_that_this_account_may_not_reach_are_named(open_folder: Path) -> None:
    closed = open_folder / "project"
    closed.mkdir()
    file = closed / "titan10.toml"
    file.touch()
    closed.chmod(0o000)
    with without_rights_of_root(), pytest.raises(SettingsError, match=r"has no right to enter its folder\. Run `chmod"):
        load(closed)
    closed.chmod(0o711)
    file.chmod(0o000)
    with without_rights_of_root(), pytest.raises(SettingsError, match=r"cannot be read: .*Permission denied"):
        load(closed)


def test_a_deleted_current_folder_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = tmp_path / "gone"
    gone.mkdir()
    monkeypatch.chdir(gone)
    gone.rmdir()
    for variable in ("", "project"):  # a relative path in the variable does not lead to the file either
        monkeypatch.setenv("TITAN10_HOME", variable)
        with pytest.raises(SettingsError, match="The current folder was deleted"):
            home()
    monkeypatch.setenv("TITAN10_HOME", str(tmp_path))
    assert home() == tmp_path
