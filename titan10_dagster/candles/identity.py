"""The identity of a market: the facts that must stay the same so that all candles belong to the same series.

A ccxt symbol alone does not identify a market, because exchanges reuse names. For example, `REP/USDT` was the market
REPUSDT with a price of 10.0. On the next day, `REP/USDT` was the market REPV2USDT with a price of 99.0 (ccxt#3302,
#22056).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from titan10_dagster.candles.markets import Market

# Fields of a market record that determine the unit of the prices or volumes.
SCALES = ("contractSize", "priceScale", "valueScale")


@dataclass(frozen=True)
class Identity:
    """The exchange's own names of a market and of its two assets, and the scales of the market's numbers."""

    market_id: str
    base_id: str
    quote_id: str
    scales: Mapping[str, float] = field(default_factory=dict, hash=False)


@dataclass(frozen=True)
class IdentityChange:
    """The observation that a symbol belongs to a new market. `seen_at`: the time of the observation (aware, UTC)."""

    exchange: str
    symbol: str
    before: Identity
    after: Identity
    seen_at: datetime

    @property
    def sentence(self) -> str:
        return (
            f"{self.exchange} {self.symbol} is a different market since {self.seen_at:%Y-%m-%d %H:%M} UTC: "
            f"{'; '.join(differences(self.before, self.after))}. Candles before and after this time do not belong "
            "together: see the table series_breaks. `titan10 series list` shows the series and its markets."
        )


def identity_of(market: Market) -> Identity:
    """Return the identity of a market."""
    scales = {name: float(market.extra[name]) for name in SCALES if market.extra.get(name) is not None}
    return Identity(market.market_id, market.base_id, market.quote_id, scales)


def differences(before: Identity, after: Identity) -> list[str]:
    """Return a description of each difference between two identities.

    A scale is compared only if both identities have it. Two spellings of the same market id (BTC-USDT and btcusdt) are
    not a difference, because exchanges sometimes change the spelling of all their markets at once. For the names of
    assets, only the difference between upper and lower case is ignored.
    """
    found = []
    for name, words in (("market_id", "market"), ("base_id", "base asset"), ("quote_id", "quote asset")):
        old, new = getattr(before, name), getattr(after, name)
        spell = _plain if name == "market_id" else str.casefold
        if spell(old) != spell(new):
            found.append(f"its {words} was {old} and is {new}")
    for name in SCALES:
        if name in before.scales and name in after.scales and before.scales[name] != after.scales[name]:
            found.append(f"its {name} was {before.scales[name]:g} and is {after.scales[name]:g}")
    return found


def changes(known: Mapping[str, Identity], markets: Iterable[Market], seen_at: datetime) -> list[IdentityChange]:
    """Return the changes of identity.

    `known`: the stored identity of each symbol.
    `markets`: the current market list.
    """
    found = []
    for market in markets:
        before, after = known.get(market.symbol), identity_of(market)
        if before is not None and differences(before, after):
            found.append(IdentityChange(market.exchange, market.symbol, before, after, seen_at))
    return found


def _plain(name: str) -> str:
    """Return the letters and digits of a name, in lower case."""
    return "".join(filter(str.isalnum, name)).casefold() or name


def _named(candidates: Iterable[Market], market_id: str) -> Market | None:
    """Return the candidate with this id, or else the first candidate with another spelling of this id, or else None."""
    alike = None
    for candidate in candidates:
        if candidate.market_id == market_id:
            return candidate
        if alike is None and _plain(candidate.market_id) == _plain(market_id):
            alike = candidate
    return alike


@dataclass(frozen=True)
class Ambiguity:
    """A symbol that the exchange uses for several active markets.

    chosen: the market from which candles are fetched.
    others: the exchange's ids of the other markets.
    is_known: whether the chosen market is the market of the stored candles.
    """

    chosen: Market
    others: tuple[str, ...]
    is_known: bool

    @property
    def sentence(self) -> str:
        market = self.chosen
        why = "it is the first in the exchange's list"
        if self.is_known:
            why = "the stored candles belong to it"
        return (
            f"{market.exchange} uses {market.symbol} for several active markets: {market.market_id} and "
            f"{', '.join(self.others)}. {market.market_id} is fetched, because {why}."
        )


def choose(
    markets: Iterable[Market], known: Mapping[str, Identity], concerned: Iterable[str]
) -> tuple[list[Market], list[Ambiguity]]:
    """Return one market for each symbol. Also return the ambiguities of those symbols that are in `concerned`.

    If a symbol belongs to several markets, the market from which the stored candles came (see `known`) is chosen. If
    that market is no longer in the list, or if no candles are stored, the first market in the list is chosen.

    `markets`: the current market list. The other markets of a symbol are in `Market.rivals`.
    `known`: the identity of the stored candles of each symbol.
    """
    wanted = set(concerned)
    chosen: list[Market] = []
    ambiguous: list[Ambiguity] = []
    for market in markets:
        candidates = [market, *market.rivals]
        stored = known.get(market.symbol)
        same = None if stored is None else _named(candidates, stored.market_id)
        winner, is_known = same or market, same is not None
        chosen.append(winner)
        if market.rivals and market.symbol in wanted:
            others = tuple(rival.market_id for rival in candidates if rival is not winner)
            ambiguous.append(Ambiguity(winner, others, is_known))
    return chosen, ambiguous
