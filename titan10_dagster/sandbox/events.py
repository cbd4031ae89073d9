"""Events that change the markets or candles of an exchange. Their effect remains when the faults are cleared.

A fault of the stage `truth` is an event. For each kind of event, this module has a function that applies the event. An
event happens at once, or when the sandbox's clock reaches the time in the option `at`. Times in options are ISO 8601
texts or epoch ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from titan10_dagster.sandbox.changes import Rescaling, Shift
from titan10_dagster.sandbox.clock import instant_ms
from titan10_dagster.sandbox.faults import Fault
from titan10_dagster.sandbox.series import ServedSeries

if TYPE_CHECKING:
    from titan10_dagster.sandbox.site import Site


def happen(site: Site, fault: Fault) -> None:
    """Apply the event of a fault to the exchange. Raises ValueError if an option is missing or invalid."""
    _EVENTS[fault.kind.name](site, fault)
    for symbol in site.series if fault.symbol is None else [fault.symbol]:
        site.forget_pages(symbol)


def _restate(site: Site, fault: Fault) -> None:
    series, at = _one(site, fault), _instant(fault, "time")
    values = fault.options["values"]
    if values is None and not fault.options["gone"]:
        values = _other_values(series, at)
    series.changes.restate(at, None if fault.options["gone"] else series.source.units(values))


def _absent(site: Site, fault: Fault) -> None:
    start, end = _stretch(fault)
    for series in _concerned(site, fault):
        if fault.options["back"]:
            series.changes.show(start, end)
        else:
            series.changes.hide(start, end)
    if fault.options["back_at"] is not None:
        returned = replace(fault, options={**fault.options, "back": True, "back_at": None})
        site.later(instant_ms(fault.options["back_at"]), lambda: happen(site, returned))


def _revise(site: Site, fault: Fault) -> None:
    start, end = _stretch(fault)
    for series in _concerned(site, fault):
        series.changes.rescale(Rescaling(start, end, fault.options["prices"], fault.options["volumes"]))


def _redenominate(site: Site, fault: Fault) -> None:
    factor = float(fault.options["factor"])
    _one(site, fault).changes.rescale(Rescaling(_instant(fault, "time", site), None, factor, 1 / factor))


def _shift(site: Site, fault: Fault) -> None:
    start, end = _stretch(fault)
    for series in _concerned(site, fault):
        series.changes.shift(Shift(start, end, int(fault.options["ms"])))


def _delist(site: Site, fault: Fault) -> None:
    series, at = _one(site, fault), _instant(fault, "time", site)
    *former, (first, _) = series.instrument.spells
    site.change(series, replace(series.instrument, spells=(*former, (first, max(at, first)))))
    if fault.options["candles"] is not None:
        site.closed_markets[series.instrument.symbol] = fault.options["candles"]


def _relist(site: Site, fault: Fault) -> None:
    series, at = _one(site, fault), _instant(fault, "time", site)
    if series.instrument.delisted_ms is None:
        raise ValueError(f"{fault.symbol} is not delisted: the event 'relist' needs a delisted symbol")
    site.closed_markets.pop(series.instrument.symbol, None)
    site.change(series, replace(series.instrument, spells=(*series.instrument.spells, (at, None))))
    if fault.options["prices"] != 1.0:
        series.changes.rescale(Rescaling(at, None, fault.options["prices"], 1.0))


def _new_id(site: Site, fault: Fault) -> None:
    series, market_id = _one(site, fault), fault.options["market_id"]
    if market_id is None:
        raise ValueError("the event 'new_id' needs a market_id")
    former = series.instrument.name.market_id
    site.change(series, replace(series.instrument, name=series.instrument.name._replace(market_id=market_id)))
    if fault.options["prices"] != 1.0:
        series.changes.rescale(Rescaling(_instant(fault, "time", site), None, fault.options["prices"], 1.0))
    heir = fault.options["heir"]
    if heir is not None:
        inherits = site.served(heir)
        site.change(inherits, replace(inherits.instrument, name=inherits.instrument.name._replace(market_id=former)))


_EVENTS: Mapping[str, Callable[[Site, Fault], None]] = {
    "restate": _restate,
    "absent": _absent,
    "revise": _revise,
    "redenominate": _redenominate,
    "shift": _shift,
    "delist": _delist,
    "relist": _relist,
    "new_id": _new_id,
}


def _one(site: Site, fault: Fault) -> ServedSeries:
    if fault.symbol is None:
        raise ValueError(f"the fault {fault.kind.name!r} needs a symbol")
    return site.served(fault.symbol)


def _concerned(site: Site, fault: Fault) -> list[ServedSeries]:
    return list(site.series.values()) if fault.symbol is None else [site.served(fault.symbol)]


def _stretch(fault: Fault) -> tuple[int, int]:
    start, end = fault.options["time"], fault.options["until"]
    if start is None or end is None:
        raise ValueError(f"the fault {fault.kind.name!r} needs the options time and until")
    return instant_ms(start), instant_ms(end)


def _instant(fault: Fault, name: str, site: Site | None = None) -> int:
    """Return the time in the option `name` in epoch ms.

    If the option is not set, return the current time of `site`. If `site` is also None, raise ValueError.
    """
    given: Any = fault.options[name]
    if given is None and site is not None:
        return site.clock.now_ms()
    if given is None:
        raise ValueError(f"the fault {fault.kind.name!r} needs the option {name}")
    return instant_ms(given)


def _other_values(series: ServedSeries, at_ms: int) -> list[float]:
    """Return changed but valid values for the candle at `at_ms`: its close becomes its high, and its volume doubles."""
    rows = series.rows(at_ms, at_ms + 1, series.source.seconds)
    if len(rows) == 0:
        raise ValueError(f"there is no candle at {at_ms} to take values from; set `values` in the fault")
    _, opened, high, low, _, volume = rows[0].tolist()
    return [opened, high, low, high, volume * 2]
