from __future__ import annotations

import numpy as np

from titan10_dagster.store import binary
from titan10_dagster.store.database import Database

IN = "COPY sent FROM STDIN (FORMAT binary)"
TABLE = "CREATE TEMPORARY TABLE sent (name text, seen timestamptz, number bigint, share double precision)"

TIMES = np.array(["1970-01-01T00:00", "2024-02-29T23:59:59.999", "9999-12-31T23:59"], "datetime64[ms]")
NUMBERS = np.array([-(2**63), 0, 2**63 - 1])
SHARES = np.array([np.nan, -np.inf, 5e-324])


def test_what_is_sent_is_what_postgresql_shows(db: Database) -> None:
    with db.transaction() as cursor:
        cursor.execute(TABLE)
        assert binary.copy_in(cursor, IN, [binary.rows(["BTC/ÜSDT"], [TIMES, NUMBERS, SHARES])]) == 3
        cursor.execute("SELECT name, (seen AT TIME ZONE 'UTC')::text, number, share::text FROM sent ORDER BY seen")
        assert cursor.fetchall() == [
            ("BTC/ÜSDT", "1970-01-01 00:00:00", -(2**63), "NaN"),
            ("BTC/ÜSDT", "2024-02-29 23:59:59.999", 0, "-Infinity"),
            ("BTC/ÜSDT", "9999-12-31 23:59:00", 2**63 - 1, "5e-324"),
        ]


def test_what_is_sent_comes_back(db: Database) -> None:
    with db.transaction() as cursor:
        cursor.execute(TABLE)
        binary.copy_in(cursor, IN, [binary.rows([""], [TIMES, NUMBERS, SHARES]), binary.rows(["x"], [TIMES[:0]] * 3)])
        query = "COPY (SELECT seen, number, share FROM sent ORDER BY seen) TO STDOUT (FORMAT binary)"
        times, numbers, shares = binary.copy_out(cursor, query, ["M8[ms]", "i8", "f8"])
    assert times.tolist() == TIMES.tolist()
    assert numbers.tolist() == NUMBERS.tolist()
    assert shares.tobytes() == SHARES.tobytes()


def test_an_empty_answer_is_empty_columns(db: Database) -> None:
    with db.transaction() as cursor:
        query = "COPY (SELECT 1::bigint WHERE false) TO STDOUT (FORMAT binary)"
        (numbers,) = binary.copy_out(cursor, query, ["i8"])
    assert numbers.tolist() == []
