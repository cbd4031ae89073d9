"""Stores restatements.

If a stored candle is received again with different values, a restatement keeps the old values, the new values, and the
sources from which these values came.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from titan10_dagster.candles.fetched import Source
from titan10_dagster.store import binary
from titan10_dagster.store.database import Cursor
from titan10_dagster.store.merge import Change
from titan10_dagster.store.provenance import Origins
from titan10_dagster.store.statements import key, statement


def write_restatements(
    cursor: Cursor, changes: Sequence[Change], origins: Sequence[Origins], imported: Mapping[int, bool]
) -> None:
    """Store the old and the new values of all changed candles, in the transaction that overwrote the candles.

    Args:
        origins: for each change, the ids of the files that were the sources of its changed candles before and after the
            write.
        imported: for the id of each file in `Origins.before`, whether a user imported the file.
    """
    rows = []
    for change, of_change in zip(changes, origins, strict=True):
        if change.restated:
            rows += list(_rows(change, of_change, imported))
    if rows:
        binary.copy_in(cursor, statement("copy_restatements"), rows)


def _rows(change: Change, origins: Origins, imported: Mapping[int, bool]) -> Iterator[bytes]:
    """Yield rows of the table restatements in COPY's binary format. Rows with equal sources are yielded together."""
    given, record = change.incoming.candles.where(change.changed), change.incoming.record
    old = change.stored.take(change.position[change.changed])
    pairs = np.column_stack((origins.before, origins.after))
    for before, after in np.unique(pairs, axis=0).tolist():
        mask = (pairs == (before, after)).all(axis=1)
        sources = (record.source, _source(before, imported), before or None, after or None)
        new_candles, old_candles = given.where(mask), old.where(mask)
        seen_at = np.full(len(new_candles), record.fetched_at.replace(tzinfo=None), "datetime64[us]")
        columns = [new_candles.times, seen_at, *old_candles.values, *new_candles.values]
        yield binary.rows((*key(change.incoming.slice.series), *sources), columns)


def _source(file: int, imported: Mapping[int, bool]) -> Source:
    if not file:
        return Source.REST
    return Source.IMPORT if imported[file] else Source.ARCHIVE
