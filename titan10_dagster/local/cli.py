"""The command line interface `titan10`. Heavy imports are inside the commands, so that `--help` starts quickly."""

from __future__ import annotations

import atexit
import gc
import os
import signal
import sys
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

import click

from titan10_dagster.errors import SettingsError
from titan10_dagster.local.cli_series import series
from titan10_dagster.local.cli_values import day, folder_of_files, instant, share_of_days, today
from titan10_dagster.local.entry import is_interruption
from titan10_dagster.local.error_reports import report
from titan10_dagster.local.exit_codes import DONE, EXIT_CODES, FAILED, INTERRUPTED
from titan10_dagster.local.printable import prepare_output, printable_lines
from titan10_dagster.local.signals import bounded_end, ending_signals

# After a signal such as Ctrl-C, these commands stop their servers and processes, with their own time limits. All other
# commands end within ten seconds.
ORDERLY = ("up", "demo", "sandbox")

if TYPE_CHECKING:
    from pathlib import Path

    from titan10_dagster.settings import Settings


class Commands(click.Group):
    """The group of all commands. It turns an exception into a message and an exit code."""

    def invoke(self, ctx: click.Context) -> Any:
        # The garbage collector runs when the number of new objects reaches this threshold. The modules of Dagster and
        # ccxt have a million objects. With Python's default threshold of 700, the collector runs 980 times during their
        # import. This takes a fifth of the time of the import.
        gc.set_threshold(10_000)
        # When Python ends, it collects the garbage of all modules. With Dagster and ccxt in memory, this takes seconds.
        # Frozen objects are not collected.
        atexit.register(gc.freeze)
        prepare_output()
        with bounded_end(say, is_bounded=lambda: ctx.invoked_subcommand not in ORDERLY):
            return self._invoke(ctx)

    def _invoke(self, ctx: click.Context) -> Any:
        before = {number: signal.signal(number, _interrupt) for number in ending_signals()}
        try:
            return super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort, BrokenPipeError) as error:
            if isinstance(error, click.Abort) and is_interruption(error):  # Ctrl-C at a question
                say("\nInterrupted. Nothing was changed.")
                _end_without_waiting(INTERRUPTED)
            raise  # click ends the command; a broken pipe, such as after `| head`, needs no message
        except (KeyboardInterrupt, Exception) as error:  # noqa: BLE001  # every error ends here with a message
            if is_interruption(error):
                say("Interrupted. Completed work is kept. Run the same command again to continue.")
                _end_without_waiting(INTERRUPTED)
            ctx.exit(report(error, say))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _end_without_waiting(code: int) -> NoReturn:
    """End the process at once. The `with` blocks of the command have ended before, but its threads may still run.

    A normal end of Python has two problems after an interruption. First, if the interruption comes while a
    ThreadPoolExecutor starts a thread, the executor does not know this thread. Then the thread never ends, and Python
    waits for the thread forever. Second, if the interruption comes inside an `exec`, for example while a module with
    dataclasses is imported, Python kills itself by SIGINT. Then the command has no exit code.
    """
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _interrupt(*_: object) -> None:
    """Raise KeyboardInterrupt, so that SIGTERM and SIGHUP end a command and its processes in the same way as Ctrl-C."""
    raise KeyboardInterrupt


def say(sentence: str) -> None:
    """Print a message to standard error, because standard output is for results."""
    click.echo(printable_lines(sentence), err=True)


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")


@click.group(cls=Commands, epilog=EXIT_CODES, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="titan10-dagster", prog_name="titan10")
def main() -> None:
    """Fetch candles from exchanges, store them in PostgreSQL, and record why candles are missing.

    Settings come from titan10.toml and .env in the current folder (or in TITAN10_HOME), and from TITAN10_* variables.
    """


@main.command()
def up() -> None:
    """Run everything: PostgreSQL, code server, UI and daemon. Ctrl-C stops everything."""
    from titan10_dagster.local.stack import Stack, run

    settings, home = _settings()
    run(Stack(settings, home, say))


@main.command()
def demo() -> None:
    """Run an offline demo: backfill sandbox exchanges, and compare the stored candles with the sandbox.

    DEMO_KEEP=1 keeps the UI running until Ctrl-C. All files are below .titan10/demo. Each demo first empties
    this folder.
    """
    from titan10_dagster.local.commands.demo import run_demo

    try:
        sys.exit(run_demo(say))
    except KeyboardInterrupt:
        say("The demo was interrupted. The next `titan10 demo` starts from the beginning.")
        _end_without_waiting(INTERRUPTED)


@main.command(context_settings={"ignore_unknown_options": True, "help_option_names": []})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sandbox(arguments: tuple[str, ...]) -> None:
    """Serve simulated exchanges at 127.0.0.1; see `titan10 sandbox --help`."""
    from titan10_dagster.sandbox.__main__ import main as serve

    serve.main(list(arguments), prog_name="titan10 sandbox")


@main.command()
def migrate() -> None:
    """Create or update the tables of Titan-10 and of Dagster. Stop `titan10 up` first."""
    from titan10_dagster.dagster_internals.schema import upgrade
    from titan10_dagster.local.instance import database_of_dagster, migrate_all, open_database

    settings, _ = _settings()
    with open_database(settings, say) as url:
        applied = migrate_all(settings, url)
        if upgrade(database_of_dagster(settings, url), say):
            applied.append("the tables of Dagster")
    click.echo("\n".join(f"applied {name}" for name in applied) or "The tables are up to date.")


@main.command("import", epilog=EXIT_CODES)
@click.argument("exchange")
@click.argument("files", nargs=-1, required=True, type=click.Path(exists=True, dir_okay=False))
@click.option("--symbol", help="Symbol of the files. Default: the symbol in each file name, such as XBTUSD_1.csv.")
@click.option(
    "--columns",
    metavar="NAMES",
    default="time,open,high,low,close,volume",
    show_default=True,
    help="Columns of a CSV file without a header, in order; leave a name empty to skip a column.",
)
@json_option
def import_(exchange: str, files: tuple[str, ...], symbol: str | None, columns: str, as_json: bool) -> None:
    """Store candles from files that you downloaded: CSV, CSV.gz, Parquet, or a zip archive such as Kraken's OHLCVT.

    Days that are complete in the database do not change. The checks are the same as for candles from the exchange.
    """
    from pathlib import Path

    from titan10_dagster.archives.parsing import NAMES
    from titan10_dagster.local.commands.import_files import ImportRequest, run_import

    settings, home = _settings()
    _check_enabled(settings, exchange)
    names = [name.strip() for name in columns.split(",")]
    missing = [name for name in NAMES if name not in names]
    if missing:
        raise click.UsageError(f"--columns lacks {', '.join(missing)}; give {','.join(NAMES)} in the file's order.")
    doubled = sorted({name for name in names if name and names.count(name) > 1})
    if doubled:
        raise click.UsageError(
            f"--columns contains {', '.join(doubled)} more than once; leave a name empty to skip a column."
        )
    if symbol is not None:
        _check_symbol(settings, exchange, symbol)
    request = ImportRequest(exchange, [Path(file) for file in files], symbol, names)
    sys.exit(run_import(settings, home, request, say, as_json=as_json))


@main.command(epilog=EXIT_CODES)
@json_option
def doctor(as_json: bool) -> None:
    """Check the installation: settings, database, disk, clock, exchanges, symbols. Nothing is changed.

    Each line says what was found and what to do. The exit code is 1 if there is a problem.
    """
    from titan10_dagster.local.commands.doctor import run_doctor

    sys.exit(run_doctor(as_json=as_json))


@main.command(epilog=EXIT_CODES)
@click.argument("exchange")
@click.option("--from", "first", metavar="DAY", callback=day, required=True, help="First UTC day, YYYY-MM-DD.")
@click.option(
    "--to", "last", metavar="DAY", callback=day, required=True, help="Last UTC day, included; at the latest yesterday."
)
@click.option("--symbol", "symbols", multiple=True, help="Only this symbol; may be repeated. Default: all configured.")
@click.option("--refresh", is_flag=True, help="Fetch settled days again.")
@click.option("--dry-run", is_flag=True, help="Only show the estimated cost; nothing is fetched or stored.")
@json_option
def backfill(
    exchange: str, first: date, last: date, symbols: tuple[str, ...], refresh: bool, dry_run: bool, as_json: bool
) -> None:
    """Fetch, check and store days of an EXCHANGE, with the same assets, partitions and checks as in the UI.

    Settled days are not fetched again, except with --refresh. If a backfill is interrupted or killed, the same command
    continues it. The exit code is 1 if a day failed, or if the exchange may have some of the missing candles.
    """
    from titan10_dagster.local.commands.backfill import Request, run_backfill, show_forecast

    settings, home = _settings()
    _check_request(settings, exchange, first, last, symbols)
    request = Request(exchange, first, last, symbols or None, refresh)
    if dry_run:
        show_forecast(settings, request, say, as_json=as_json)
        return
    sys.exit(run_backfill(settings, home, request, say, as_json=as_json))


@main.command()
@json_option
def status(as_json: bool) -> None:
    """Show the running processes, and the stored data and health of each exchange."""
    from titan10_dagster.local.commands.status import show_status

    settings, home = _settings()
    show_status(settings, home, say, as_json=as_json)


@main.command()
@click.argument("exchange", required=False)
@click.option("--from", "first", metavar="DAY", callback=day, help="First UTC day; default: all days.")
@click.option("--to", "last", metavar="DAY", callback=day, help="Last UTC day, included.")
@json_option
def coverage(exchange: str | None, first: date | None, last: date | None, as_json: bool) -> None:
    """Show the stored candles of each series, and why the other candles are missing."""
    from titan10_dagster.local.commands.coverage import show_coverage

    settings, _ = _settings()
    _check_order(first, last)
    show_coverage(settings, say, exchange, first, last, as_json=as_json)


@main.command(epilog=EXIT_CODES)
@click.argument("exchange")
@click.option("--symbol", "symbols", multiple=True, help="Only this symbol; may be repeated. Default: all stored.")
@click.option("--from", "first", metavar="DAY", callback=day, required=True, help="First UTC day, YYYY-MM-DD.")
@click.option("--to", "last", metavar="DAY", callback=day, required=True, help="Last UTC day, included.")
@click.option(
    "--timeframe",
    default="1m",
    show_default=True,
    help="A stored timeframe, or 5m, 15m, 1h, 4h, 1d, 1w built from 1m.",
)
@click.option("--format", "form", type=click.Choice(["parquet", "csv", "freqtrade", "vectorbt"]), default="parquet")
@click.option(
    "--out", "folder", metavar="FOLDER", callback=folder_of_files, required=True, help="Folder for the files."
)
@click.option(
    "--as-of",
    metavar="INSTANT",
    callback=instant,
    help="Use the values as they were at this instant, without restatements that came later.",
)
@click.option("--force", is_flag=True, help="Replace files that exist.")
@json_option
def export(
    exchange: str,
    symbols: tuple[str, ...],
    first: date,
    last: date,
    timeframe: str,
    form: str,
    folder: Path,
    as_of: datetime | None,
    force: bool,
    as_json: bool,
) -> None:
    """Write stored candles of an EXCHANGE to files, for pandas, freqtrade or vectorbt.

    The exit code is 1 if the exchange may have some of the missing candles.
    """
    from titan10_dagster.local.commands.export import Request, run_export
    from titan10_dagster.local.export_formats import FORMATS

    settings, _ = _settings()
    _check_order(first, last)
    request = Request(exchange, first, last, symbols, timeframe, FORMATS[form], folder, as_of, force)
    sys.exit(run_export(settings, request, say, now=datetime.now(UTC), as_json=as_json))


@main.command(epilog=EXIT_CODES)
@click.argument("exchange")
@click.option("--history", is_flag=True, help="Show earlier probes; no request is made.")
@json_option
def probe(exchange: str, history: bool, as_json: bool) -> None:
    """Measure the behaviour of an EXCHANGE, and compare the results with expected values.

    A probe sends at most ten requests. The exchange must be in titan10.toml, with a symbol that the exchange lists. The
    exit code is 1 if a value differs from the expected value.
    """
    from titan10_dagster.local.commands.probe import run_probe, show_history

    settings, _ = _settings()
    _check_exchange(settings, exchange)
    if history:
        show_history(settings, exchange, say, as_json=as_json)
        return
    sys.exit(DONE if run_probe(settings, exchange, say, as_json=as_json) else FAILED)


@main.command(epilog=EXIT_CODES)
@click.argument("exchange")
@click.option("--from", "first", metavar="DAY", callback=day, required=True, help="First UTC day, YYYY-MM-DD.")
@click.option("--to", "last", metavar="DAY", callback=day, required=True, help="Last UTC day, included.")
@click.option("--symbol", "symbols", multiple=True, help="Only this symbol; may be repeated. Default: all configured.")
@click.option(
    "--share",
    type=click.FloatRange(0, 1, min_open=True),
    default=0.01,
    show_default=True,
    callback=share_of_days,
    help="Share of the settled days to compare, drawn from all symbols together; 1 compares all days.",
)
@click.option(
    "--seed",
    type=int,
    default=0,
    show_default=True,
    help="Seed of the random choice. The same seed chooses the same days.",
)
@json_option
def reconcile(
    exchange: str, first: date, last: date, symbols: tuple[str, ...], share: float, seed: int, as_json: bool
) -> None:
    """Compare settled days of an EXCHANGE from its archive files with the same days from its REST interface.

    Stored candles do not change. The output shows the values that differ (at most 50; --json shows more). It also shows
    the share of candles that differ, with a 95 % confidence interval. The exit code is 1 if a candle differs, or if no
    day could be compared.
    """
    from titan10_dagster.local.commands.reconcile import ReconcileRequest, run_reconcile

    settings, _ = _settings()
    _check_exchange(settings, exchange)
    _check_order(first, last)
    for symbol in symbols:
        _check_symbol(settings, exchange, symbol)
    request = ReconcileRequest(exchange, first, last, share, seed, symbols or None)
    sys.exit(DONE if run_reconcile(settings, request, say, as_json=as_json) else FAILED)


@main.command()
@click.option("--test", is_flag=True, help="Send a test message to every URL of alerts.urls.")
@json_option
def alerts(test: bool, as_json: bool) -> None:
    """Show problems that need you. Titan-10 also sends these problems to the recipients in `alerts.urls`.

    With --test, no problem is shown, and the exit code is 1 if a service did not accept the test message.
    """
    from titan10_dagster.local.commands.alerts import send_test, show_alerts

    settings, _ = _settings()
    if test:
        sys.exit(DONE if send_test(settings, as_json=as_json) else FAILED)
    show_alerts(settings, say, as_json=as_json)


main.add_command(series)


def load_settings() -> Settings:
    """Return the settings, for commands in other modules."""
    return _settings()[0]


def _settings() -> tuple[Settings, Path]:
    """Return the settings and the project folder.

    Also set up logging: warnings are logged in the format of the setting logs.format. If other accounts can read files
    with secrets, print a warning.
    """
    from titan10_dagster import logs, settings, settings_files

    loaded = settings.load()
    logs.configure(loaded, level="WARNING")
    for warning in settings_files.exposed_secrets(settings.home()):
        say(f"Warning: {warning}")
    return loaded, settings.home()


def _check_request(settings: Settings, exchange: str, first: date, last: date, symbols: Sequence[str]) -> None:
    _check_enabled(settings, exchange)
    _check_order(first, last)
    if last >= today():
        yesterday = today() - timedelta(days=1)
        raise SettingsError(f"--to {last}: only finished UTC days can be fetched; the latest is {yesterday}.")
    start = settings.exchanges[exchange].start
    if first < start:
        raise SettingsError(
            f"--from {first}: exchanges.{exchange}.start is {start}, and earlier days are not fetched; "
            "set `start` to an earlier day."
        )
    for symbol in symbols:
        _check_symbol(settings, exchange, symbol)


def _check_exchange(settings: Settings, exchange: str) -> None:
    from titan10_dagster.settings_errors import unknown_name

    if exchange not in settings.exchanges:
        raise SettingsError(unknown_name(exchange, exchange, settings.exchanges, "no such exchange in titan10.toml"))


def _check_enabled(settings: Settings, exchange: str) -> None:
    _check_exchange(settings, exchange)
    if not settings.exchanges[exchange].enabled:
        raise SettingsError(f"exchanges.{exchange}.enabled is false: set it to true to fetch from {exchange}.")


def _check_symbol(settings: Settings, exchange: str, symbol: str) -> None:
    from titan10_dagster.settings_errors import unknown_name

    configured = settings.exchanges[exchange].symbols
    if symbol not in configured:
        raise SettingsError(
            unknown_name(symbol, symbol, configured, f"not in exchanges.{exchange}.symbols of titan10.toml")
        )


def _check_order(first: date | None, last: date | None) -> None:
    if first is not None and last is not None and first > last:
        raise SettingsError(f"--from {first} is after --to {last}.")


if __name__ == "__main__":
    main()
