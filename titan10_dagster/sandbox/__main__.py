"""`python -m titan10_dagster.sandbox`: serve simulated exchanges in a separate process."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import click

from titan10_dagster.errors import Titan10Error
from titan10_dagster.sandbox.clock import instant_ms
from titan10_dagster.sandbox.server import Sandbox, serve
from titan10_dagster.sandbox.venues.registry import VENUES

NOT_NEGATIVE, ABOVE_ZERO = click.FloatRange(min=0), click.FloatRange(min=0, min_open=True)


def parsed_replays(texts: tuple[str, ...]) -> dict[tuple[str, str], Path]:
    """Parse texts such as `binance:XRP/ETH=candles.csv.gz`. Return the file for each (exchange, symbol).

    Raises ValueError if a text has another form.
    """
    replays = {}
    for text in texts:
        where, equals, file = text.partition("=")
        exchange, colon, symbol = where.partition(":")
        if not (equals and colon and file):
            raise ValueError(f"{text!r} is not of the form EXCHANGE:BASE/QUOTE=FILE")
        replays[exchange, symbol] = Path(file)
    return replays


@click.command()
@click.option("--exchange", "exchanges", multiple=True, type=click.Choice(list(VENUES)), help="Default: all.")
@click.option(
    "--port",
    "ports",
    multiple=True,
    type=click.IntRange(0, 65535),
    help="Port of an exchange. Repeat the option: the first --port is for the first --exchange, and so on. 0: any free "
    "port. Default: the sandbox's fixed port for this exchange.",
)
@click.option(
    "--replay",
    "replays",
    multiple=True,
    metavar="EXCHANGE:SYMBOL=FILE",
    help="Serve the candles of this file for the symbol.",
)
@click.option("--symbols", default=None, help="Symbols that each exchange lists, separated by commas.")
@click.option("--limits/--no-limits", default=True, help="Enforce the exchanges' rate limits.")
@click.option("--limit-factor", type=ABOVE_ZERO, default=1.0, help="Factor for the allowed usage of every rate limit.")
@click.option(
    "--ban-seconds", type=NOT_NEGATIVE, default=None, help="Seconds that every ban lasts. Default: as at the exchange."
)
@click.option("--latency", type=NOT_NEGATIVE, default=0.0, help="Milliseconds by which every answer is delayed.")
@click.option("--now", default=None, help="Let the clock stand still at this time (ISO 8601, UTC).")
@click.option("--log", type=click.Path(path_type=Path), default=None, help="Append every request to this file as JSON.")
def main(
    exchanges: tuple[str, ...],
    ports: tuple[int, ...],
    replays: tuple[str, ...],
    symbols: str | None,
    limits: bool,
    limit_factor: float,
    ban_seconds: float | None,
    latency: float,
    now: str | None,
    log: Path | None,
) -> None:
    """Serve simulated exchanges at http://127.0.0.1, each on its own port. Ctrl-C stops the sandbox."""
    chosen = exchanges or tuple(VENUES)
    wanted = dict.fromkeys(chosen, None) | dict(zip(chosen, ports, strict=False))
    try:
        sandbox = Sandbox(
            chosen,
            clock=None if now is None else datetime.fromtimestamp(instant_ms(now) / 1_000, UTC),
            enforce_limits=limits,
            limit_factor=limit_factor,
            ban_seconds=ban_seconds,
            latency=latency / 1_000,
            replay=parsed_replays(replays),
            symbols=None if symbols is None else dict.fromkeys(chosen, symbols.split(",")),
            ports=wanted,
            log=log,
        )
        serve(sandbox, click.echo)
    except ValueError as error:
        raise click.UsageError(str(error)) from error
    except (Titan10Error, OSError) as error:
        raise click.ClickException(str(error)) from error


if __name__ == "__main__":
    main()
