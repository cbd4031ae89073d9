from __future__ import annotations

import importlib
from collections.abc import Iterator
from pathlib import Path

import ccxt
import pytest
from ccxt import async_support

from titan10_dagster.exchanges import venues
from titan10_dagster.exchanges.failures import kind_of
from titan10_dagster.exchanges.venues.registry import all_venues, venue_of
from titan10_dagster.exchanges.venues.venue import FailureKind

NEW_EXCHANGE = '''
"""An exchange with special behaviour."""

from titan10_dagster.exchanges.venues.venue import Bans, FailureKind, Venue, phrase

VENUE = Venue(
    exchange="whitebit",
    page_size=700,
    depth=5000,
    days_per_run=12,
    bans=Bans(frozenset({444})),
    phrases=(phrase("come back tomorrow", FailureKind.MAINTENANCE),),
    source="docs: an example",
)
'''


def forget_records() -> None:
    all_venues.cache_clear()
    venue_of.cache_clear()
    importlib.invalidate_caches()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A further folder of the package of exchanges."""
    monkeypatch.setattr(venues, "__path__", [*venues.__path__, str(tmp_path)])
    forget_records()
    yield tmp_path
    monkeypatch.undo()
    forget_records()


def test_each_module_of_the_package_is_named_after_its_exchange() -> None:
    folder = Path(next(iter(venues.__path__)))
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__", "registry", "venue"}
    assert modules == set(all_venues())
    assert len(modules) >= 22


def test_a_new_exchange_with_special_behaviour_is_one_new_module(folder: Path) -> None:
    (folder / "whitebit.py").write_text(NEW_EXCHANGE)
    venue = venue_of("whitebit")
    assert (venue.page_size, venue.depth, venue.days_per_run) == (700, 5000, 12)
    assert kind_of(ccxt.ExchangeError("come back tomorrow"), 400, "whitebit") is FailureKind.MAINTENANCE
    assert kind_of(ccxt.ExchangeError("x"), 444, "whitebit") is FailureKind.BANNED


def test_a_module_without_a_record_is_not_an_exchange(folder: Path) -> None:
    (folder / "helpers.py").write_text("VENUE = 'no record'\n")
    assert "helpers" not in all_venues()


def test_an_exchange_without_a_module_is_described_by_ccxts_features() -> None:
    venue = venue_of("whitebit")
    assert venue.page_size == 1440
    assert venue.source == "ccxt's `features`"
    assert venue.depth is None


def test_an_exchange_without_a_limit_in_its_features_gets_a_cautious_one() -> None:
    def limit(name: str) -> int | None:
        spot = (getattr(async_support, name)().features or {}).get("spot") or {}
        return (spot.get("fetchOHLCV") or {}).get("limit")

    silent = next(name for name in async_support.exchanges if name not in all_venues() and not limit(name))
    assert venue_of(silent).page_size == 100


def test_an_exchange_that_ccxt_derives_from_another_has_its_error_codes_and_bans() -> None:
    assert venue_of("binanceusdm").phrases == venue_of("binance").phrases
    assert venue_of("binanceusdm").bans == venue_of("binance").bans
    assert venue_of("myokx").error_marker == venue_of("okx").error_marker


@pytest.mark.parametrize("gone", ["huobi", "gateio", "okex", "coinbasepro", "bitmex", "ascendex", "nonsense"])
def test_an_exchange_that_ccxt_does_not_have_is_refused(gone: str) -> None:
    with pytest.raises(ValueError, match=f"has no exchange '{gone}'"):
        venue_of(gone)
