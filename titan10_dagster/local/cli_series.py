"""The command group `titan10 series`. Heavy imports are inside the commands, as in `cli.py`."""

from __future__ import annotations

import sys
from datetime import UTC, datetime

import click

from titan10_dagster.local.exit_codes import DONE, EXIT_CODES, FAILED


@click.group()
def series() -> None:
    """List, rename or drop stored series."""


@series.command("list", epilog=EXIT_CODES)
@click.argument("exchange", required=False)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document on standard output.")
def list_(exchange: str | None, as_json: bool) -> None:
    """Show each stored series: its market, its former markets, and its breaks.

    A break is a time at which the series changes its market or the unit of its prices.
    """
    from titan10_dagster.local.cli import load_settings, say
    from titan10_dagster.local.commands.series import list_series

    list_series(load_settings(), say, exchange, as_json=as_json)


@series.command(epilog=EXIT_CODES)
@click.argument("exchange")
@click.argument("symbol", required=False)
@click.option("--to-exchange", metavar="NEW", help="The new id of the exchange in ccxt.")
@click.option("--to-symbol", metavar="NEW", help="The new name of the symbol.")
def rename(exchange: str, symbol: str | None, to_exchange: str | None, to_symbol: str | None) -> None:
    """Move the stored history of an EXCHANGE, or of one SYMBOL of the exchange, to a new name.

    Use this after ccxt renamed an exchange (gateio became gate, huobi became htx) or an exchange renamed a symbol.
    """
    from titan10_dagster.local.cli import load_settings, say
    from titan10_dagster.local.commands.series import rename_series

    now = datetime.now(UTC)
    rename_series(load_settings(), say, exchange, symbol, to_exchange=to_exchange, to_symbol=to_symbol, now=now)


@series.command(epilog=EXIT_CODES)
@click.argument("exchange")
@click.argument("symbol")
@click.option("--yes", is_flag=True, help="Do not ask for confirmation.")
def drop(exchange: str, symbol: str, yes: bool) -> None:
    """Delete all series of a SYMBOL of an EXCHANGE.

    The command first shows what will be deleted, and asks for confirmation. If standard input is not a terminal, use
    --yes. The exit code is 1 if nothing was deleted.
    """
    from titan10_dagster.local.cli import load_settings, say
    from titan10_dagster.local.commands.series import drop_series

    def confirm(question: str) -> bool:
        if yes:
            say(question.removesuffix("?"))
            return True
        return sys.stdin.isatty() and click.confirm(question)

    done = drop_series(load_settings(), say, exchange, symbol, confirm=confirm, now=datetime.now(UTC))
    sys.exit(DONE if done else FAILED)
