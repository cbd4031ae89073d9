"""Typical mistakes of users, each with its message and exit code."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from click.testing import CliRunner

from titan10_dagster.local.cli import main
from titan10_dagster.local.exit_codes import MISUSED, NO_DATABASE
from titan10_dagster_tests.instances import ROOT

SETTINGS = """
data = "data"

[exchanges.binance]
symbols = ["BTC/USDT", "ETH/USDT"]
start = 2024-01-01
base_url = "http://127.0.0.1:9"

[exchanges.kraken]
symbols = ["BTC/USD"]
start = 2024-02-01
enabled = false
"""
NOBODY = "postgresql://titan10:secret@127.0.0.1:9/titan10"  # nothing listens on this port
DAYS = "--from 2024-02-01 --to 2024-02-02"


@dataclass(frozen=True)
class Mistake:
    """A mistake of the user, and the words that the answer has to contain."""

    name: str
    command: str | list[str]
    words: tuple[str, ...]
    exit_code: int = MISUSED
    settings: str | None = SETTINGS
    environment: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.name


def changed(old: str, new: str) -> str:
    assert old in SETTINGS
    return SETTINGS.replace(old, new)


MISTAKES = (
    Mistake("no settings file", "status", ("titan10.toml",), settings=None),
    Mistake("broken TOML", "status", ("titan10.toml", "line 3"), settings='data = "data"\n\n[exchanges.binance\n'),
    Mistake(
        "a misspelled section", "status", ("exchange", "did you mean exchanges"),
        settings=changed("[exchanges.kraken]", "[exchange.kraken]"),
    ),
    Mistake(
        "a misspelled key", "status", ("exchanges.binance.symbol", "did you mean symbols"),
        settings=changed('symbols = ["BTC/USDT", "ETH/USDT"]', 'symbol = ["BTC/USDT"]'),
    ),
    Mistake(
        "a misspelled exchange", "status", ("binanse", "did you mean binance"),
        settings=changed("[exchanges.binance]", "[exchanges.binanse]"),
    ),
    Mistake(
        "a symbol as the exchange spells it", "status", ("exchanges.binance.symbols", "BTCUSDT"),
        settings=changed('"BTC/USDT"', '"BTCUSDT"'),
    ),
    Mistake(
        "a symbol that is a path", "status", ("exchanges.binance.symbols", "../USDT"),
        settings=changed('"BTC/USDT"', '"../USDT"'),
    ),
    Mistake("no symbols", "status", ("exchanges.binance.symbols",), settings=changed('["BTC/USDT", "ETH/USDT"]', "[]")),
    Mistake(
        "a list in a variable that is not closed", "status", ("exchanges.binance.symbols", "["),
        environment={"TITAN10_EXCHANGES__BINANCE__SYMBOLS": '["BTC/USDT"'},
    ),
    Mistake(
        "a start that is not a date", "status", ("exchanges.binance.start",),
        settings=changed("start = 2024-01-01", 'start = "January 2024"'),
    ),
    Mistake(
        "a start in the future", "status", ("exchanges.binance.start: 2124-01-01 is in the future",),
        settings=changed("start = 2024-01-01", "start = 2124-01-01"),
    ),
    Mistake(
        "a start before the first partition", "status", ("before first_day", "set first_day to 2024-01-01"),
        settings="first_day = 2024-01-15\n" + SETTINGS,
    ),
    Mistake(
        "an empty symbol", ["backfill", "binance", *DAYS.split(), "--symbol", ""],
        ("'': not in exchanges.binance.symbols",),
    ),
    Mistake(
        "an impossible timeframe", "status", ("exchanges.binance.timeframe", "7m"),
        settings=changed("start = 2024-01-01", 'start = 2024-01-01\ntimeframe = "7m"'),
    ),
    Mistake(
        "a misspelled variable", "status", ("TITAN10_SERVER__PROT", "did you mean port"),
        environment={"TITAN10_SERVER__PROT": "3001"},
    ),
    Mistake("a variable that is not a number", "status", ("server.port",), environment={"TITAN10_SERVER__PORT": "UI"}),
    *(
        Mistake(f"the host {host!r}", "status", ("server.host", "without port and brackets"),
                settings=f'{SETTINGS}\n[server]\nhost = "{host}"\n')
        for host in ("", " ", "[::1]", "127.0.0.1 ", "http://127.0.0.1")
    ),
    Mistake("a sandbox at no time", "sandbox --now tomorrow", ("Invalid isoformat string: 'tomorrow'",)),
    Mistake("a sandbox with a replay without a file", "sandbox --replay x", ("is not of the form",)),
    Mistake("a sandbox that allows nothing", "sandbox --limit-factor 0", ("--limit-factor",)),
    Mistake(
        "a misspelled variable in lower case", "status", ("titan10_servr__port", "did you mean server"),
        environment={"titan10_servr__port": "3001"},
    ),
    Mistake(
        "a variable that begins with TITAN10_HOME", "status", ("TITAN10_HOMEE: there is no such setting",),
        environment={"TITAN10_HOMEE": "/srv/titan10"},
    ),
    Mistake(
        "a list in numbered variables", "status",
        ("symbols is a single setting", "TITAN10_EXCHANGES__BINANCE__SYMBOLS."),
        environment={"TITAN10_EXCHANGES__BINANCE__SYMBOLS__0": "BTC/USDT"},
    ),
    Mistake(
        "the quotes of a Docker env file", "status", ("without quotes", "TITAN10_EXCHANGES__BINANCE__SYMBOLS"),
        environment={"TITAN10_EXCHANGES__BINANCE__SYMBOLS": "'BTC/USDT'"},
    ),
    Mistake(
        "the URL in the variable of its section", "status", ("TITAN10_DATABASE is a section", "TITAN10_DATABASE__"),
        environment={"TITAN10_DATABASE": "postgresql://me:secret@db/titan10"},
    ),
    Mistake(
        "an empty folder", "status", ("data (set by TITAN10_DATA): must be the path of a folder",),
        environment={"TITAN10_DATA": " "},
    ),
    Mistake(
        "a parameter that PostgreSQL does not know", "status", ("has the parameter sslmodus",),
        environment={"TITAN10_DATABASE__URL": "postgresql://me:secret@db/titan10?sslmodus=require"},
    ),
    Mistake(
        "a database of another kind", "status", ("postgresql://",),
        environment={"TITAN10_DATABASE__URL": "mysql://me:secret@db/titan10"},
    ),
    Mistake(
        "a password that is not percent-encoded", "status", ("percent-encoded",),
        environment={"TITAN10_DATABASE__URL": "postgresql://me:pass/word@db:5432/titan10"},
    ),
    Mistake("a database that does not answer", "status", ("cannot connect", "127.0.0.1:9"), NO_DATABASE),
    Mistake("a misspelled command", "backfil", ("No such command 'backfil'",)),
    Mistake("a missing option", "backfill binance --from 2024-02-01", ("Missing option '--to'",)),
    Mistake(
        "an exchange that is not configured", f"backfill binanse {DAYS}", ("no such exchange", "did you mean binance")
    ),
    Mistake("an exchange that is switched off", f"backfill kraken {DAYS}", ("exchanges.kraken.enabled is false",)),
    Mistake(
        "files of an exchange that is switched off", "import kraken {file}", ("exchanges.kraken.enabled is false",)
    ),
    Mistake(
        "a symbol that is not configured", f"backfill binance {DAYS} --symbol BTC/USD",
        ("BTC/USD", "did you mean BTC/USDT"),
    ),
    Mistake(
        "a symbol in lower case", f"backfill binance {DAYS} --symbol btc/usdt", ("btc/usdt", "did you mean BTC/USDT"),
    ),
    Mistake(
        "a day that does not exist", "backfill binance --from 2024-02-30 --to 2024-03-01",
        ("'2024-02-30' is not a date (YYYY-MM-DD",),
    ),
    Mistake(
        "days in the wrong order", "backfill binance --from 2024-02-02 --to 2024-02-01",
        ("--from 2024-02-02 is after --to 2024-02-01",),
    ),
    Mistake(
        "a day that is not over", f"backfill binance --from 2024-02-01 --to {datetime.now(UTC).date() + timedelta(1)}",
        ("only finished UTC days can be fetched; the latest is",),
    ),
    Mistake(
        "days before the start", "backfill binance --from 2019-01-01 --to 2019-01-02",
        ("exchanges.binance.start is 2024-01-01", "set `start` to an earlier day"),
    ),
    Mistake(
        "an unknown format", f"export binance {DAYS} --format xlsx --out files", ("'xlsx' is not one of", "parquet")
    ),
    Mistake(
        "an instant that does not exist", f"export binance {DAYS} --out files --as-of yesterday",
        ("'yesterday' is not an instant (such as 2024-02-29T12:00)",),
    ),
    Mistake(
        "an instant before the year 1 in UTC", f"export binance {DAYS} --out files --as-of 0001-01-01T00:00+14:00",
        ("is not an instant",),
    ),
    Mistake(
        "a folder in a variable that is not set",
        ["export", "binance", "--from", "2024-02-01", "--to", "2024-02-02", "--out", ""],
        ("the name of the folder is empty",),
    ),
    Mistake(
        "an export of the future", "export binance --from 2999-01-01 --to 2999-01-02 --out files",
        ("--from 2999-01-01 is in the future",),
    ),
    Mistake("a share that is not a number", f"reconcile binance {DAYS} --share nan", ("nan is not a number",)),
    Mistake(
        "a column named twice", "import binance {file} --columns time,open,high,low,close,volume,volume",
        ("--columns contains volume more than once",),
    ),
    Mistake(
        "a rename to an exchange that does not exist", "series rename binance --to-exchange binanse",
        ("--to-exchange: ccxt has no such exchange", "did you mean binance"),
    ),
    Mistake(
        "a rename to a symbol that is a path", "series rename binance BTC/USDT --to-symbol ../USDT",
        ("--to-symbol: ../USDT", ".. is not a currency"),
    ),
    Mistake("a rename to nothing", ["series", "rename", "binance", "BTC/USDT", "--to-symbol", ""], ("--to-symbol",)),
    Mistake(
        "a rename to the same symbol", "series rename binance BTC/USDT --to-symbol BTC/USDT",
        ("already has this name. Nothing was changed.",),
    ),
    Mistake(
        "a rename to the same exchange", "series rename binance --to-exchange binance",
        ("already has this name. Nothing was changed.",),
    ),
    Mistake("a test of alerts without recipients", "alerts --test", ("alerts.urls is empty: set a recipient",)),
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "dagster.yaml").symlink_to(ROOT / "dagster.yaml")
    return tmp_path


@pytest.mark.parametrize("mistake", MISTAKES, ids=str)
def test_a_mistake_gets_a_sentence_and_an_exit_code(mistake: Mistake, project: Path) -> None:
    if mistake.settings is not None:
        (project / "titan10.toml").write_text(mistake.settings)
    inherited = {name: None for name in os.environ if name.startswith("TITAN10_")}
    environment = {"TITAN10_DATABASE__URL": NOBODY, "TITAN10_HOME": str(project), **mistake.environment}
    command = mistake.command
    words = command.format(file=project / "titan10.toml").split() if isinstance(command, str) else command
    done = CliRunner().invoke(main, words, env={**inherited, **environment})
    assert done.exception is None or isinstance(done.exception, SystemExit), done.exception
    assert done.exit_code == mistake.exit_code, done.stderr
    for word in mistake.words:
        assert word in done.stderr
    assert "Traceback" not in done.stderr
    assert "secret" not in done.stderr
    assert "pass/word" not in done.stderr


def test_a_wrong_dagster_yaml_gets_a_sentence_before_anything_starts(project: Path) -> None:
    (project / "titan10.toml").write_text(SETTINGS)
    text = (project / "dagster.yaml").read_text()
    (project / "dagster.yaml").unlink()
    (project / "dagster.yaml").write_text(text.replace("dequeue_num_workers", "dequeue_workers"))
    inherited = {name: None for name in os.environ if name.startswith("TITAN10_")}
    environment = {"TITAN10_DATABASE__URL": NOBODY, "TITAN10_HOME": str(project)}
    for command in (f"backfill binance {DAYS}", "up"):
        done = CliRunner().invoke(main, command.split(), env={**inherited, **environment})
        assert done.exit_code == MISUSED, done.stderr
        assert "dagster.yaml: there is no key" in done.stderr
        assert "did you mean dequeue_num_workers?" in done.stderr
        assert "Traceback" not in done.stderr


def test_there_are_enough_of_them_and_each_has_a_name() -> None:
    assert len({mistake.name for mistake in MISTAKES}) == len(MISTAKES) >= 25
