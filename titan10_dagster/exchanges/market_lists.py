"""Read the market list of an exchange. Records that cannot be read are skipped.

ccxt parses a market list as a whole. If one record has an unexpected structure, ccxt raises an error and returns no
market. In this case, this module passes the same answers to ccxt again in parts, without a new request. Each part has a
hundred records. If ccxt cannot parse a part, the records of this part are passed to ccxt one by one. Records that ccxt
cannot parse are skipped and reported. Records that ccxt can parse but that cannot be markets are skipped and reported
too.
"""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Awaitable, Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from ccxt.base.errors import BadResponse

from titan10_dagster.candles.markets import Market
from titan10_dagster.errors import FetchError
from titan10_dagster.exchanges.containers import Container, container_of
from titan10_dagster.exchanges.market_records import market_of, unique_markets
from titan10_dagster.exchanges.pacing import TooLate
from titan10_dagster.exchanges.strict import Answer
from titan10_dagster.exchanges.venues.venue import Venue

_PART = 100  # if a market list cannot be parsed as a whole, this many of its records are parsed together
_LONGEST_NAME = 64  # in characters; the longest known names (of options) have about 30 characters
_NAMES = ("symbol", "id", "base", "quote", "baseId", "quoteId")
_NAMED = 10  # a message describes at most this many skipped records, and only counts the others
# A field counts as present in nearly all records if it is absent from at most this many records. In a list of 200
# records or more, it can be absent from one record in a hundred.
_FEWEST_EXCEPTIONS = 1
# Control characters, format characters, line separators, and halves of surrogate pairs. They are invisible, so two
# names that differ only in these characters would look the same.
_UNPRINTABLE = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})
# The names of the fields that contain the name of an asset, in the exchanges' own records. If one of these fields is
# null, ccxt derives an asset from the market's id, and the result is a market that does not exist.
_ASSET_FIELD = re.compile(r"(base|quote)[-_]?(asset|coin|currency|ccy)?([-_]?id)?", re.IGNORECASE)

ListMarkets = Callable[[], Awaitable[Iterable[Any]]]


@dataclass(frozen=True)
class MarketList:
    """The markets of an exchange, sorted by symbol. `skipped`: a sentence for each record that was skipped."""

    markets: list[Market]
    skipped: tuple[str, ...] = ()

    @property
    def warning(self) -> str | None:
        """Return a sentence about the skipped records; None if no record was skipped."""
        if not self.skipped:
            return None
        more = f"; and {len(self.skipped) - _NAMED} more" if len(self.skipped) > _NAMED else ""
        named = "; ".join(self.skipped[:_NAMED])
        count = f"{len(self.skipped)} record{'s' if len(self.skipped) > 1 else ''}"
        return f"the market list has {count} that cannot be read; the other markets are kept. Skipped: {named}{more}"


async def read_market_list(list_markets: ListMarkets, venue: Venue, answer: Answer) -> MarketList:
    """Return the spot markets of an exchange.

    `list_markets`: a function that requests and parses the list with ccxt.
    `answer`: the object in which the answers of the current task are recorded.

    Raises:
        BadResponse: no record of the list can be parsed.
        Exception: an error of `list_markets`. It is raised again if it is a FetchError or TooLate. Other errors are
            raised again if the list cannot be read in parts, because not all answers were received.
    """
    skipped: list[str] = []
    try:
        records = list(await list_markets())
    except Exception as error:
        answered = answer.recorded and not answer.under_way
        if not answered or isinstance(error, (FetchError, TooLate)):
            raise
        records = await _parse_in_parts(list_markets, venue, answer, error, skipped)
    markets: list[Market] = []
    assets = _asset_fields(records)
    for record in records:
        if not isinstance(record, Mapping):
            skipped.append(f"{_shown(record)} is not a market")
        elif record.get("spot"):
            problem = _problem(record, assets)
            if problem is None:
                markets.append(market_of(venue, record))
            else:
                skipped.append(problem)
    return MarketList(unique_markets(markets), tuple(skipped))


async def _parse_in_parts(
    list_markets: ListMarkets, venue: Venue, answer: Answer, error: Exception, skipped: list[str]
) -> list[Any]:
    for key, parsed in answer.recorded.items():
        container = container_of(parsed, venue.market_records)
        if container is None:
            continue
        records, unreadable = await _parse_container(list_markets, answer, key, container)
        if records:  # an answer without a readable record is probably not the list of markets
            skipped += unreadable
            return records
    raise BadResponse(f"no record of the market list can be read ({error})") from error


async def _parse_container(
    list_markets: ListMarkets, answer: Answer, key: str, container: Container
) -> tuple[list[Any], list[str]]:
    """Return ccxt's market records from one list, and a sentence for each record that cannot be read."""
    records: list[Any] = []
    unreadable: list[str] = []
    for part in _parts(container.items, _PART):
        found = await _parse_part(list_markets, answer, key, container, part)
        if found is not None:
            records += found
            continue
        for item in part:
            found = await _parse_part(list_markets, answer, key, container, [item])
            if found is None:
                unreadable.append(f"{_shown(item[1])} cannot be read")
            else:
                records += found
    return records, unreadable


async def _parse_part(
    list_markets: ListMarkets, answer: Answer, key: str, container: Container, items: Sequence[tuple[Any, Any]]
) -> list[Any] | None:
    """Let ccxt parse the recorded answers, with one of the lists reduced to the given items. Return the market records.

    If ccxt raises an error, the result is None.
    """
    answer.replayed = {**answer.recorded, key: container.with_items(items)}
    try:
        return list(await list_markets())
    except Exception:  # noqa: BLE001  any error of ccxt's parser is caused by these records
        return None
    finally:
        answer.replayed = None


def _parts(items: Sequence[tuple[Any, Any]], size: int) -> Iterator[Sequence[tuple[Any, Any]]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _asset_fields(records: Iterable[Any]) -> frozenset[str]:
    """Return the names of the fields that contain an asset's name in nearly all records of spot markets.

    The fields belong to the exchange's own records, which ccxt keeps under `info`.
    """
    counts: Counter[str] = Counter()
    total = 0
    for record in records:
        info = record.get("info") if isinstance(record, Mapping) and record.get("spot") else None
        if isinstance(info, Mapping):
            total += 1
            counts.update(str(name) for name, value in info.items() if isinstance(value, str))
    exceptions = max(_FEWEST_EXCEPTIONS, total // 100)
    return frozenset(
        name for name, count in counts.items() if total - count <= exceptions < total and _ASSET_FIELD.fullmatch(name)
    )


def _problem(record: Mapping[str, Any], assets: frozenset[str]) -> str | None:
    """Return the reason why the record cannot be a market; None if the record can be a market.

    `assets`: the result of `_asset_fields`.
    """
    for name in _NAMES:
        value = record.get(name)
        if not isinstance(value, str) or not value.strip():
            return f"{_shown(record.get('id'))} has no {name}"
        if len(value) > _LONGEST_NAME:
            return f"{_shown(value)} has a {name} of {len(value)} characters"
        if any(unicodedata.category(character) in _UNPRINTABLE for character in value):
            return f"{_shown(value)} has a {name} with control characters"
    info = record.get("info")
    for name, value in info.items() if isinstance(info, Mapping) else ():
        if value in (None, "") and _ASSET_FIELD.fullmatch(str(name)):
            return f"{_shown(record['id'])} has no {name}"
    if isinstance(info, Mapping):
        for name in sorted(assets):
            if not isinstance(info.get(name), (str, int)) or isinstance(info[name], bool):
                return f"{_shown(record['id'])} has no {name}"
    return None


def _shown(value: Any) -> str:
    """Return the beginning of a value as one line of printable characters."""
    text = ascii(value) if isinstance(value, str) and not value.isprintable() else repr(value)
    return text if len(text) <= _LONGEST_NAME else text[:_LONGEST_NAME] + "..."
