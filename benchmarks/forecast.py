"""Compare the forecast of a backfill with its result, for five backfills on the command line.

    python -m benchmarks.forecast [--pairs 6]

Each backfill is `titan10 backfill` at the exchange's pace. The sandbox enforces its limits, and the candles are stored
in an embedded PostgreSQL. A file server has the archive files on its disk. The days have no outages, because an outage
cannot be forecast. The forecast and the result should have equal numbers of requests and files. Their seconds should
differ by at most 25 %. The backfills are:

- `rest`: REST, 1,000 candles a page (Binance)
- `rest, short pages`: REST, 300 candles a page that overlap by ten (Coinbase)
- `archive months`: whole months from monthly files
- `archive and rest`: monthly files, daily files of the current month, and yesterday by REST
- `resumed`: the same days of other pairs, after half of them were fetched
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp

from benchmarks import results
from benchmarks.archives import _file_server, _mirror, _write
from benchmarks.backfill import symbols_of
from benchmarks.peers import Window
from titan10_dagster.candles.slices import days, midnight, to_ms
from titan10_dagster.local.postgres import EmbeddedPostgres
from titan10_dagster.sandbox import truth

TITLE = "Forecast beside result"
TODAY = datetime.now(UTC).date()
YESTERDAY = TODAY - timedelta(days=1)
ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Project:
    """A folder with settings for one database, one sandbox exchange and one file server."""

    folder: Path
    database: str

    def write(self, exchange: str, symbols: Sequence[str], start: date, sandbox: str, *more: str) -> None:
        lines = [f"[exchanges.{exchange}]", f"symbols = {json.dumps(list(symbols))}", f"start = {start}"]
        lines += [f'base_url = "{sandbox}"', *more]
        (self.folder / "titan10.toml").write_text("\n".join(lines) + "\n")

    def backfill(self, exchange: str, first: date, last: date, *symbols: str) -> dict[str, Any]:
        command = [sys.executable, "-c", "from titan10_dagster.local.cli import main; main()", "backfill", exchange]
        command += ["--from", str(first), "--to", str(last), "--json"]
        for symbol in symbols:
            command += ["--symbol", symbol]
        environment = {**os.environ, "TITAN10_HOME": str(self.folder), "TITAN10_DATABASE__URL": self.database}
        done = subprocess.run(command, env=environment, cwd=self.folder, stdout=subprocess.PIPE, text=True, check=False)
        report: dict[str, Any] = json.loads(done.stdout)
        return report


def main() -> None:
    arguments = _arguments()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o711)
        lines = _measured(folder, arguments.pairs)
    text = "\n".join(lines)
    print(text)  # noqa: T201
    about = (__doc__ or "").split("[--pairs 6]")[1].strip()
    results.write(TITLE, f"{about}\n\n{text}", beside=f"embedded PostgreSQL 18, load {os.getloadavg()[0]:.1f}")


def _measured(folder: Path, pairs: int) -> list[str]:
    postgres = EmbeddedPostgres(folder / "postgres")
    (folder / "home").mkdir()
    (folder / "home" / "dagster.yaml").write_text((ROOT / "dagster.yaml").read_text())
    project = Project(folder / "home", postgres.start())
    binance, coinbase = _sandbox("binance"), _sandbox("coinbase")
    lines = [
        "| backfill | requests: forecast, result | files: forecast, result | seconds: forecast, result | off by |",
        "|-|-|-|-|-|",
    ]
    try:
        symbols = symbols_of(binance[1])[: 2 * pairs]
        whole = _whole_days(symbols[0])
        first, last = whole[0]
        old = first - timedelta(days=60)
        project.write("binance", symbols, old, binance[1])
        warmed = project.backfill("binance", old, old, symbols[0])
        assert warmed["stored"], warmed
        lines.append(_line("rest", project.backfill("binance", first, first + timedelta(days=19), *symbols)))

        project.write("coinbase", ["BTC/USD", "ETH/USD"], first, coinbase[1])
        lines.append(_line("rest, short pages", project.backfill("coinbase", first, first + timedelta(days=19))))

        files = folder / "files"
        recent = (max(whole[-1][0], (TODAY - timedelta(days=45))), YESTERDAY)
        asyncio.run(_mirror(binance[1], Window(symbols, first, last), files))
        asyncio.run(_mirror(binance[1], Window(symbols, recent[0], TODAY.replace(day=1) - timedelta(days=1)), files))
        asyncio.run(_mirror_days(binance[1], symbols, days(TODAY.replace(day=1), YESTERDAY), files))
        with _file_server(files) as archive:
            sources = ('sources = ["archive", "rest"]', f'archive_url = "{archive}"')
            project.write("binance", symbols, first, binance[1], *sources)
            months = first + timedelta(days=20), last
            lines.append(_line("archive months", project.backfill("binance", *months, *symbols)))
            mixed, resumed = symbols[:pairs], symbols[pairs:]
            lines.append(_line("archive and rest", project.backfill("binance", *recent, *mixed)))
            project.backfill("binance", recent[0], recent[0] + timedelta(days=15), *resumed)
            lines.append(_line("resumed", project.backfill("binance", *recent, *resumed)))
    finally:
        for process in (binance[0], coinbase[0]):
            process.terminate()
            process.wait()
        postgres.stop()
    return lines


def _whole_days(symbol: str) -> list[tuple[date, date]]:
    """Return the longest stretch of complete days within the last 300 days. If several are equal, return the newest."""
    stretches: list[tuple[date, date]] = []
    for day in days(TODAY - timedelta(days=300), YESTERDAY):
        start = to_ms(midnight(day))
        if len(truth.candles("binance", symbol, start, start + 86_400_000)) < 1_440:
            continue
        if stretches and stretches[-1][1] + timedelta(days=1) == day:
            stretches[-1] = (stretches[-1][0], day)
        else:
            stretches.append((day, day))
    longest = max(stretches[:-1], key=lambda stretch: stretch[1] - stretch[0])
    return [longest, stretches[-1]]


def _line(name: str, report: dict[str, Any]) -> str:
    forecast, result = report["forecast"], report["result"]
    counts = []
    for of in ("requests", "files"):
        expected = sum(cost[of] for cost in forecast["sources"].values())
        counts.append(f"{expected:,}, {sum(cost[of] for cost in result['sources'].values()):,}")
    off = forecast["seconds"] / result["seconds"] - 1
    line = f"| {name} | {' | '.join(counts)} | {forecast['seconds']:.1f}, {result['seconds']:.1f} | {off:+.0%} |"
    print(line, forecast, result, file=sys.stderr)  # noqa: T201
    return line


def _sandbox(exchange: str) -> tuple[subprocess.Popen[str], str]:
    """Start a sandbox that runs in real time and enforces its limits. Return its process and its address."""
    command = [sys.executable, "-m", "titan10_dagster.sandbox", "--exchange", exchange, "--port", "0"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, process.stdout.readline().split()[-1]


async def _mirror_days(sandbox: str, symbols: Sequence[str], wanted: Sequence[date], folder: Path) -> None:
    """Write the sandbox's published daily files and their digests below the folder."""
    async with aiohttp.ClientSession() as session:
        for symbol in symbols:
            name = symbol.replace("/", "")
            for day in wanted:
                path = f"data/spot/daily/klines/{name}/1m/{name}-1m-{day}.zip"
                for file in (path, f"{path}.CHECKSUM"):
                    async with session.get(f"{sandbox}/{file}") as answer:
                        if answer.status == 200:
                            _write(folder / file, await answer.read())


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pairs", type=int, default=6)
    return parser.parse_args()


if __name__ == "__main__":
    main()
