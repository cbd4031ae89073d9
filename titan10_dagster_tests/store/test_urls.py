"""Database URLs have the same meaning for psycopg2, SQLAlchemy and messages."""

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


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        ("postgres://u:p%40@h:1/d?sslmode=disable", {"password": "p@", "host": "h", "port": "1", "sslmode": "disable"}),
        ("postgresql://u:%40%2F%3A%25@db1,db2:5432/d", {"password": "@/:%", "host": "db1,db2", "port": "5432,5432"}),
        ("postgresql://u:p@ss:w@h/d", {"password": "p@ss:w", "host": "h"}),
        ("postgresql://u:100%safe@h/d", {"password": "100%safe", "host": "h"}),
        ("postgresql://u:a%2540b@h/d", {"password": "a%40b", "host": "h"}),
        ("postgresql://u:p[x#y?z@h/d", {"password": "p[x#y?z", "host": "h"}),
        ("postgresql://u:p@%2Frun%2Fpg:5433/d", {"password": "p", "host": "/run/pg", "port": "5433"}),
        ("postgresql://u@/d?host=/run/pg&port=5433", {"host": "/run/pg", "port": "5433"}),
        ("postgresql://u@/d?port=5433", {"port": "5433"}),
        ("postgresql://u@/d?service=titan", {"service": "titan"}),
        ("postgresql://u@[::1]:5433/d", {"host": "::1", "port": "5433"}),
        ("postgresql://u@[fe80::1%25eth0]:5433/d", {"host": "fe80::1%eth0", "port": "5433"}),
        ("postgresql://u@[::1]:5433,[::1]:5434/d", {"host": "::1,::1", "port": "5433,5434"}),
        ("postgresql://u@h/d?options=-csearch_path=titan", {"host": "h", "options": "-csearch_path=titan"}),
        ("postgresql://u@h/d?application_name=a+b", {"host": "h", "application_name": "a+b"}),
        ("postgresql:///d?user=u&application_name=me@home", {"application_name": "me@home"}),
    ],
)
def test_a_url_means_the_same_for_libpq_and_sqlalchemy(url: str, expected: dict[str, str]) -> None:
    expected = {"user": "u", "dbname": "d", **expected}
    written = sqlalchemy_url(url)
    assert read_by_sqlalchemy(written) == expected
    assert connection_parameters(written) == expected
    assert sqlalchemy_url(written) == written
    options = f"{expected.get('options', '')} -csearch_path=dagster".strip()
    assert read_by_sqlalchemy(dagster_url(url)) == {**expected, "options": options}
    assert connection_parameters(dagster_url(url)) == {**expected, "options": options}


def test_the_default_database_is_that_of_libpq() -> None:
    for url in ("postgresql://", "postgresql:///", "postgresql://@/"):
        assert read_by_sqlalchemy(sqlalchemy_url(url)) == connection_parameters(url) == {}


def test_an_unknown_parameter_is_named_unless_it_may_be_part_of_a_password() -> None:
    with pytest.raises(SettingsError, match="has the parameter sslmodus, which does not exist in PostgreSQL"):
        connection_parameters("postgresql://u:p@h/d?sslmodus=require")
    with pytest.raises(SettingsError, match="percent-encoded") as caught:
        connection_parameters("postgresql://u:p/a?s3cret=b@h/d")
    assert "s3cret" not in str(caught.value)


def test_another_number_of_ports_than_of_hosts_is_refused() -> None:
    with pytest.raises(SettingsError, match="lists 3 hosts and 2 ports"):
        sqlalchemy_url("postgresql://u@/titan?host=a,b,c&port=1,2")
