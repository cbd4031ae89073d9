"""The database and the folder of an instance, which every command prepares."""

from __future__ import annotations

import os
from pathlib import Path

import dagster as dg
import psycopg2
import pytest
from pydantic import SecretStr

from titan10_dagster.dagster_internals.database import dagster_url
from titan10_dagster.errors import DatabaseUnavailable, SettingsError
from titan10_dagster.local.instance import (
    child_environment,
    database_of_dagster,
    embedded,
    migrate_all,
    open_database,
    open_instance,
    open_tables,
    prepare,
)
from titan10_dagster.settings import DatabaseSettings, Settings
from titan10_dagster_tests.instances import ROOT


def silent(_: str) -> None:
    """Discard a message."""


def settings_of(folder: Path, url: str | None, dagsters: str | None = None) -> Settings:
    database = DatabaseSettings(
        url=None if url is None else SecretStr(url), dagster_url=None if dagsters is None else SecretStr(dagsters)
    )
    return Settings(data=folder / "data", database=database)


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "dagster.yaml").symlink_to(ROOT / "dagster.yaml")
    return tmp_path


def test_a_configured_database_is_used_as_it_is(tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "postgresql://me@127.0.0.1:1/x")
    assert embedded(settings, silent) is None
    with open_database(settings, silent) as url:
        assert url == "postgresql://me@127.0.0.1:1/x"


def test_without_one_the_embedded_server_runs_while_it_is_open(open_folder: Path) -> None:
    settings = settings_of(open_folder, None)
    server = embedded(settings, silent)
    assert server is not None
    with open_database(settings, silent) as url:
        psycopg2.connect(url).close()
        assert server.running()
    assert not server.running()


def test_an_empty_database_gets_all_tables_once(empty_database_url: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, empty_database_url)
    applied = migrate_all(settings, empty_database_url)
    assert len(applied) > 10
    assert migrate_all(settings, empty_database_url) == []
    with open_tables(settings, silent) as db, db.transaction() as cursor:
        cursor.execute("SELECT to_regclass('candles') IS NOT NULL AND to_regnamespace('dagster') IS NOT NULL")
        assert cursor.fetchone() == (True,)


def test_a_database_of_dagsters_own_must_answer(database_url: str, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, database_url, "postgresql://me:sesame@127.0.0.1:1/x")
    with pytest.raises(DatabaseUnavailable, match="cannot connect") as caught:
        migrate_all(settings, database_url)
    assert "sesame" not in str(caught.value)


def test_dagsters_tables_are_in_a_schema_unless_they_have_a_database(tmp_path: Path) -> None:
    url, other = "postgresql://me@127.0.0.1:1/x", "postgresql://me@127.0.0.1:1/dagster"
    assert database_of_dagster(settings_of(tmp_path, url), url) == dagster_url(url)
    assert database_of_dagster(settings_of(tmp_path, url, other), url) == "postgresql+psycopg2://me@127.0.0.1:1/dagster"


def test_the_folder_of_dagster_follows_the_project(home: Path, tmp_path: Path) -> None:
    settings = settings_of(tmp_path, "postgresql://me@127.0.0.1:1/x")
    for _ in range(2):
        variables = prepare(settings, home, "postgresql://me@127.0.0.1:1/x")
    link = Path(variables["DAGSTER_HOME"]) / "dagster.yaml"
    assert link.resolve() == (ROOT / "dagster.yaml").resolve()
    assert variables["TITAN10_HOME"] == str(home)
    link.unlink()
    link.write_text("of a former version")
    prepare(settings, home, "postgresql://me@127.0.0.1:1/x")
    assert link.is_symlink()


def test_a_project_without_dagster_yaml_is_refused_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"There is no dagster\.yaml in .*: copy .* from the repository"):
        prepare(settings_of(tmp_path, None), tmp_path, "postgresql://me@127.0.0.1:1/x")


def test_an_open_instance_is_dagsters_own_and_leaves_the_environment_as_it_was(
    home: Path, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAGSTER_HOME", "/of/another/account")
    before = dict(os.environ)
    with open_instance(settings_of(home, database_url), home, silent) as url:
        assert url == database_url
        with dg.DagsterInstance.get() as instance:
            assert instance.get_runs_count() == 0
            assert Path(instance.root_directory) == home / "data" / "dagster"
    assert dict(os.environ) == before


def test_a_child_finds_the_package_and_may_write_bytecode() -> None:
    base = {"PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": "/mine", "PATH": "/bin", "X": "base"}
    found = child_environment({"X": "given"}, base)
    assert "PYTHONDONTWRITEBYTECODE" not in found
    assert (found["X"], found["PATH"], found["PYTHONUNBUFFERED"]) == ("given", "/bin", "1")
    assert found["PYTHONPATH"].split(os.pathsep) == [str(ROOT), "/mine"]
    assert base["PYTHONDONTWRITEBYTECODE"] == "1"
