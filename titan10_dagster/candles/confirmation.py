"""Find changes of a market list that are accepted only after a second list confirms them.

An exchange can send a wrong list with HTTP status 200. For example, half of the markets are missing, all markets are
inactive during maintenance, or all ids have a new suffix. If Titan-10 accepted such a list, polling would end, markets
would count as delisted, or all series of the exchange would get a break.

Usually a change is accepted at once. But if more than a fifth of the active markets change in the same way (see the
table), the stored records of these markets do not change yet. They change when another list, received an hour or more
later (`APART`), shows the same changes. A small number of changes is always accepted at once:

| change | is always accepted at once |
|-|-|
| a market is missing | if the exchange has fewer than ten active markets |
| a market is inactive | if fewer than three markets have become inactive |
| a market has another id, asset or scale | if fewer than three markets have changed in this way |
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from titan10_dagster.candles.identity import differences, identity_of
from titan10_dagster.candles.markets import Market

APART = timedelta(hours=1)

_ACCEPTED_SHARE = 0.2  # if at most this share of the active markets change, the changes are accepted at once
_MISSING, _INACTIVE = "missing", "inactive"
_FEW_MARKETS = 10  # if the exchange has fewer active markets than this, missing markets are always accepted at once
# if fewer markets than this become inactive or get another identity, the changes are always accepted at once
_FEW_CHANGES = 3


@dataclass(frozen=True)
class Unconfirmed:
    """A change of one market. A second list has to confirm the change.

    since: the time of the first list that showed the change (aware, UTC).
    """

    change: str
    since: datetime


def unconfirmed(
    active: Mapping[str, Market], listed: Iterable[Market], waiting: Mapping[str, Unconfirmed], seen_at: datetime
) -> dict[str, Unconfirmed]:
    """Return the changes in a new list that are not accepted yet, by symbol.

    `active`: the stored active markets by symbol.
    `listed`: the markets in the new list.
    `waiting`: the changes in earlier lists that are not accepted yet, by symbol.
    `seen_at`: the time of the new list (aware, UTC).
    """
    held: dict[str, Unconfirmed] = {}
    for symbol, change in _suspicious(active, listed).items():
        before = waiting.get(symbol)
        since = before.since if before is not None and before.change == change else seen_at
        if seen_at - since < APART:
            held[symbol] = Unconfirmed(change, since)
    return held


def _suspicious(active: Mapping[str, Market], listed: Iterable[Market]) -> dict[str, str]:
    """Return, by symbol, the changes that need a second list, because too many active markets have changed."""
    missing, inactive, other = _changes(active, listed)
    most = _ACCEPTED_SHARE * len(active)
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
    """Return three mappings from symbol to change: missing markets, inactive markets, and markets with a new identity.

    Only markets in `active` are compared with the new list.
    """
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
