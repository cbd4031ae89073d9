"""Refusals for candles of one symbol ("closed market" and "unknown symbol"), in addition to the other events.

The refusals have a separate random generator, so that a seed keeps its other events.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from random import Random

from titan10_dagster_tests.simulation.events import Delisting, Event, Relisting, Span, Unknown

REFUSALS = ("closed_market", "unknown_symbol")

_MINUTE, _WEEK = timedelta(minutes=1), timedelta(days=7)


def with_refusals(
    random: Random, start: datetime, symbols: Mapping[str, Sequence[str]], events: Sequence[Event]
) -> list[Event]:
    """Return the events of a week that begins at `start`, with refusals.

    After half of the removals of a market from the list, the exchange refuses requests for candles of this market. For
    some traded markets, the exchange refuses requests for hours, like a server that has not loaded its list of markets.
    """
    drawn: list[Event] = []
    for event in events:
        if isinstance(event, (Delisting, Relisting)) and random.random() < 0.5:
            event = replace(event, refusal=random.choice(REFUSALS))
        drawn.append(event)
    for exchange, of_exchange in symbols.items():
        if random.random() < 0.25:
            length = random.randint(30, 6 * 60) * _MINUTE
            at = start + random.randint(30, (_WEEK - length) // _MINUTE) * _MINUTE
            kind, probability = random.choice(REFUSALS), random.choice((0.5, 1.0))
            drawn.append(Unknown(Span(at, at + length), exchange, random.choice(of_exchange), kind, probability))
    return drawn
