"""Database URLs mean the same for psycopg2, SQLAlchemy and messages."""

from __future__ import annotations

import pytest
from sqlalchemy import make_url
from sqlalchemy.dialects.postgresql.psycopg2 import PGDialect_psycopg2

from titan10_dagster.dagster_internals.database import dagster_url
from titan10_dagster.errors import SettingsError
from titan10_dagster.store.urls import connection_parameters, sqlalchemy_url


def read_by_sqlalchemy(url: str) -> dict[str, str]:
    """Return libpq's parameters as SQLAlchemy passes them on."""
    _, parameters = PGDialect_psycopg2().create_connect_args(make_url(url))
    return {("dbname" if name == "database" else name): str(value) for name, value in parameters.items()}


@pytest.mark.parametrize(
    ("url", "hosts", "ports"),
    [
        ("postgresql://u:p@db1,db2:5432/titan?target_session_attrs=read-write", "db1,db2", "5432,5432"),
        ("postgresql://u:p@db1:5433,db2:5434/titan?target_session_attrs=read-write", "db1,db2", "5433,5434"),
        ("postgresql://u:p@db1,db2/titan?target_session_attrs=read-write", "db1,db2", "5432,5432"),
        ("postgresql+psycopg2://u:p@db1:5433,db2/titan?target_session_attrs=read-write", "db1,db2", "5433,5432"),
        ("postgresql://u:p@/titan?host=db1,db2&port=1,2&target_session_attrs=read-write", "db1,db2", "1,2"),
    ],
)
def test_several_hosts_mean_the_same_for_sqlalchemy(url: str, hosts: str, ports: str) -> None:
    expected = {"user": "u", "password": "p", "dbname": "titan", "host": hosts, "port": ports}
    expected["target_session_attrs"] = "read-write"
    assert read_by_sqlalchemy(sqlalchemy_url(url)) == expected
    assert connection_parameters(sqlalchemy_url(url)) == expected
    assert sqlalchemy_url(sqlalchemy_url(url)) == sqlalchemy_url(url)
    dagsters = read_by_sqlalchemy(dagster_url(url))
    assert dagsters == {**expected, "options": "-csearch_path=dagster"}


def test_a_password_with_special_characters_survives() -> None:
    url = "postgresql://u:%40%2F%3A%25@db1,db2:5432/titan"
    assert read_by_sqlalchemy(sqlalchemy_url(url))["password"] == "@/:%"
    assert connection_parameters(sqlalchemy_url(url))["password"] == "@/:%"


def test_a_url_of_one_host_stays_as_it_is() -> None:
    assert sqlalchemy_url("postgres://u:p%40@h:1/d?sslmode=disable") == (
        "postgresql+psycopg2://u:p%40@h:1/d?sslmode=disable"
    )


def test_another_number_of_ports_than_of_hosts_is_refused() -> None:
    with pytest.raises(SettingsError, match="lists 3 hosts and 2 ports"):
        sqlalchemy_url("postgresql://u@/titan?host=a,b,c&port=1,2")
