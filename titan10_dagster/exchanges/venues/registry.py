"""Find the record of an exchange.

The exchanges are the modules of this package with a constant `VENUE`. Listing the package finds them, so a new exchange
is one new file. An exchange without a module is described by ccxt's own figures.
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from functools import cache
from types import MappingProxyType

from titan10_dagster.exchanges import ccxt_facts, venues
from titan10_dagster.exchanges.venues.venue import Venue

_CAUTIOUS_PAGE = 100  # no exchange of ccxt is known to return fewer


@cache
def all_venues() -> Mapping[str, Venue]:
    """Return the records of all modules of this package, by exchange id."""
    found: dict[str, Venue] = {}
    for module_info in pkgutil.iter_modules(venues.__path__):
        module = importlib.import_module(f"{venues.__name__}.{module_info.name}")
        record = getattr(module, "VENUE", None)
        if isinstance(record, Venue):
            found[record.exchange] = record
    return MappingProxyType(found)


@cache
def venue_of(exchange: str) -> Venue:
    """Return the exchange's record, or one made from ccxt's figures. Raises ValueError if ccxt has no such exchange."""
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
        source="ccxt features" if limit else "a guess: ccxt names no limit",
        cost=ccxt_facts.page_cost(exchange, page_size),
        quota_pause=relative.quota_pause,
        bans=relative.bans,
        phrases=relative.phrases,
        error_marker=relative.error_marker,
    )


def _nearest_relative(exchange: str) -> Venue | None:
    """Return the exchange with the class that is the parent of this exchange's class in ccxt.

    Both have the same errors and blocks.
    """
    for ancestor in ccxt_facts.ancestors(exchange):
        if ancestor in all_venues():
            return all_venues()[ancestor]
    return None
