"""Find the record of an exchange.

Each module of this package with a constant `VENUE` has the record of one exchange. The registry lists the modules of
the package, so a new exchange needs only a new file. If an exchange has no module, its record is made from facts in
ccxt.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from titan10_dagster.exchanges import ccxt_facts, venues
from titan10_dagster.exchanges.venues.venue import Venue

# The page size if ccxt knows no limit for the exchange. All known exchanges return at least this many candles.
_CAUTIOUS_PAGE = 100


@cache
def all_venues() -> Mapping[str, Venue]:
    """Return the records in all modules of this package. The keys are exchange ids."""
    found: dict[str, Venue] = {}
    for module_info in pkgutil.iter_modules(venues.__path__):
        module = importlib.import_module(f"{venues.__name__}.{module_info.name}")
        record = getattr(module, "VENUE", None)
        if isinstance(record, Venue):
            found[record.exchange] = record
    return MappingProxyType(found)


@cache
def venue_of(exchange: str) -> Venue:
    """Return the exchange's record. If there is no module for the exchange, make a record from facts in ccxt.

    Raises:
        ValueError: ccxt has no exchange with this id.
    """
    known = all_venues().get(exchange)
    if known is not None:
        return known
    if not ccxt_facts.exists(exchange):
        raise ValueError(f"ccxt has no exchange {exchange!r}")
    limit = ccxt_facts.page_limit(exchange)
    page_size = limit or _CAUTIOUS_PAGE
    relative = _nearest_relative(exchange) or Venue(exchange, page_size, source="")
    return Venue(
        exchange,
        page_size,
        source="ccxt's `features`" if limit else "a guess, because ccxt's `features` have no limit",
        cost=ccxt_facts.page_cost(exchange, page_size),
        quota_pause=relative.quota_pause,
        bans=relative.bans,
        phrases=relative.phrases,
        error_marker=relative.error_marker,
    )


def _nearest_relative(exchange: str) -> Venue | None:
    """Return the record of an exchange from which ccxt derives this exchange. If there are several, take the nearest.

    It is assumed that the two exchanges have the same errors and bans. Return None if there is no record.
    """
    for ancestor in ccxt_facts.ancestors(exchange):
        if ancestor in all_venues():
            return all_venues()[ancestor]
    return None
