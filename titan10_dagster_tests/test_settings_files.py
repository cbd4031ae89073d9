"""The files of the settings: refused files, and files that are reported because other users can read them."""

from __future__ import annotations

from pathlib import Path

import pytest

from titan10_dagster.errors import SettingsError
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
