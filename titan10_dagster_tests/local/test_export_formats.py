"""The files themselves are tested with the command, in commands/test_export.py."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa

from titan10_dagster.local.export_formats import FORMATS

VOLUMES = [17539248391.63412, 1e22, 1e-9, 0.1, 5.0]


def test_a_csv_file_has_plain_decimals_that_read_back_exactly(tmp_path: Path) -> None:
    times = [datetime(2024, 3, 1, 0, minute, tzinfo=UTC) for minute in range(len(VOLUMES))]
    prices = pa.array([1.5] * len(VOLUMES))
    table = pa.table(
        {
            "time": pa.array(times, pa.timestamp("ms", "UTC")),
            **dict.fromkeys(("open", "high", "low", "close"), prices),
            "volume": pa.array(VOLUMES),
        }
    )
    assert FORMATS["csv"].write(tmp_path / "file.csv", [table])
    rows = (tmp_path / "file.csv").read_text().splitlines()[1:]
    written = [row.split(",")[-1] for row in rows]
    assert [float(text) for text in written] == VOLUMES
    assert not [text for text in written if "e" in text.lower() or '"' in text]
    assert written[0] == "17539248391.63412"
