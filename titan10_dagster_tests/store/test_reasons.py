"""The reasons for missing candles are the same in Python and in SQL."""

from __future__ import annotations

import re

import pytest

from titan10_dagster.candles.fetched import Source
from titan10_dagster.candles.gaps import REASONS, Reason
from titan10_dagster.candles.slices import SliceState
from titan10_dagster.store.statements import statement
from titan10_dagster_tests.store.making import Sql

NAMES = {reason.value for reason in Reason}


def constraint(sql: Sql, name: str) -> set[str]:
    """Return the words of a CHECK constraint."""
    text = sql.one("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = %s", [name])
    return set(re.findall(r"\w+", text))


def columns(sql: Sql, table: str) -> set[str]:
    rows = sql("SELECT attname FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0", [table])
    return {name for (name,) in rows}


def test_a_gap_may_have_every_reason_and_no_other(sql: Sql) -> None:
    text = sql.one("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'gaps_reason_is_known'")
    assert set(re.findall(r"'(\w+)'", text)) == NAMES


def test_the_ledger_has_a_column_for_each_reason_and_adds_all_of_them_up(sql: Sql) -> None:
    assert columns(sql, "slice_ledger") >= NAMES
    assert constraint(sql, "slice_ledger_accounts_for_every_candle") - {"CHECK"} == {"present", "expected", *NAMES}
    assert constraint(sql, "slice_ledger_counts_are_not_negative") >= NAMES


def test_the_view_coverage_shows_each_reason(sql: Sql) -> None:
    assert columns(sql, "coverage") >= NAMES


@pytest.mark.parametrize("name", ["write_ledger", "coverage", "summary"])
def test_the_statements_name_each_reason(name: str) -> None:
    assert set(re.findall(r"\w+", statement(name))) >= NAMES


def test_the_ledger_is_written_in_the_order_of_the_reasons() -> None:
    columns = re.findall(r"\w+", statement("write_ledger").partition("VALUES")[0])
    assert [name for name in columns if name in NAMES] == [reason.value for reason in Reason]


def test_a_slice_may_have_every_state_and_no_other(sql: Sql) -> None:
    text = sql.one("SELECT pg_get_constraintdef(oid) FROM pg_constraint WHERE conname = 'slice_ledger_state_is_known'")
    assert re.findall(r"'(\w+)'", text) == [state.value for state in SliceState]


def test_every_column_of_the_tables_names_its_sources_in_the_comment(sql: Sql) -> None:
    comment = sql.one(
        "SELECT col_description(attrelid, attnum) FROM pg_attribute"
        " WHERE attrelid = 'slice_ledger'::regclass AND attname = 'source'"
    )
    assert {source.value for source in Source} <= set(re.findall(r"\w+", comment))


def test_open_reasons_are_those_that_the_index_of_open_gaps_has(sql: Sql) -> None:
    index = sql.one("SELECT pg_get_indexdef('gaps_open'::regclass)")
    assert set(re.findall(r"'(\w+)'", index)) == {reason.value for reason in Reason if not REASONS[reason].settled}
