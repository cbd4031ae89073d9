"""Changes of a market list that a second list must confirm before they are believed.

A list can be wrong with status 200: half of it is missing, a maintenance flag makes all markets inactive, or a release
gives all ids a suffix. Believed at once, such a list would end polling, delist markets, or break all series of the
exchange. If more than a fifth of the active markets change in one of these ways, the stored markets therefore stay as
they were, until another list shows the same change `APART` or more later. A few changes are believed at once.

| change | believed at once |
|-|-|
| a market is missing | if the exchange has fewer than ten active markets |
| a market is inactive | if fewer than three markets are |
| a market has another id, asset or scale | if fewer than three markets have |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from titan10_dagster.candles.identity import differences, identity_of
from titan10_dagster.candles.markets import Market

APART = timedelta(hours=1)

_BELIEVABLE = 0.2  # share of the active markets that may change at once
_MISSING, _INACTIVE = "missing", "inactive"
_FEW_MARKETS = 10  # with fewer active markets, any number may be missing at once
_FEW_CHANGES = 3  # fewer inactive or renamed markets are always believed


@dataclass(frozen=True)
class Unconfirmed:
    """A change of one market that waits for a second list, and when a list showed it first (aware, UTC)."""

    change: str
    since: datetime


def unconfirmed(
    active: Mapping[str, Market], listed: Iterable[Market], waiting: Mapping[str, Unconfirmed], seen_at: datetime
) -> dict[str, Unconfirmed]:
    """Return the changes in a new list that are not believed yet, by symbol.

    `active`: the stored active markets by symbol. `waiting`: the changes that an earlier list showed.
    """
    held: dict[str, Unconfirmed] = {}
    for symbol, change in _suspicious(active, listed).items():
        before = waiting.get(symbol)
        since = before.since if before is not None and before.change == change else seen_at
        if seen_at - since < APART:
            held[symbol] = Unconfirmed(change, since)
    return held


def _suspicious(active: Mapping[str, Market], listed: Iterable[Market]) -> dict[str, str]:
    """Return the changes of active markets that are too many to be believed at once."""
    missing, inactive, other = _changes(active, listed)
    most = _BELIEVABLE * len(active)
    found: dict[str, str] = {}
    if len(active) >= _FEW_MARKETS and len(missing) > most:
        found |= missing
    for changes in (inactive, other):
        if len(changes) >= _FEW_CHANGES and len(changes) > most:
            found |= changes
    return found


def _changes(
    active: Mapping[str, Market], listed: Iterable[Market]
) -> tuple[dict[str, str], dict[str, str], dict[str, str]]:
    """Return the active markets that are missing, those that are inactive, and those that are another market now."""
    by_symbol = {market.symbol: market for market in listed}
    missing, inactive, other = {}, {}, {}
    for symbol, known in active.items():
        market = by_symbol.get(symbol)
        if market is None:
            missing[symbol] = _MISSING
        elif not market.active:
            inactive[symbol] = _INACTIVE
        else:
            before = identity_of(known)
            changed = differences(before, identity_of(market))
            is_same = not changed or any(not differences(before, identity_of(rival)) for rival in market.rivals)
            if not is_same:
                other[symbol] = "; ".join(changed)
    return missing, inactive, other
