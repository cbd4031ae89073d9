"""Compare the measured values of a probe of an exchange with the expected values. This module makes no requests.

The expected value of a property is the value in the exchange's record. If the record has no value, the expected value
is the last value that an earlier probe measured. If the measured or the expected value is not known, the property does
not count as different.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

# Exchanges add and remove markets all the time. Therefore the measured number of markets only counts as different if
# its ratio to the expected number is outside of these limits.
_FEWEST_MARKETS, _MOST_MARKETS = 0.8, 1.5


class Property(StrEnum):
    """A property of an exchange that a probe measures. `SENTENCES` describes each property."""

    PAGE_SIZE = "page_size"
    ORDER = "order"
    START = "start"
    END = "end"
    DEPTH = "depth"
    EMPTY_MINUTES = "empty_minutes"
    VALUES = "values"
    FRESHNESS = "freshness"
    LIMITS = "limits"
    ANSWERS = "answers"
    MARKETS = "markets"
    CHARGE = "charge"
    RATE = "rate"


SENTENCES: Mapping[Property, str] = {
    Property.PAGE_SIZE: "The number of candles that one request returns.",
    Property.ORDER: "Whether an answer begins with its oldest or its newest candle.",
    Property.START: "Whether the candle that begins at `since` is in the answer.",
    Property.END: "Whether the answer also has the candle after the requested candles.",
    Property.DEPTH: "How many of the newest candles the exchange serves.",
    Property.EMPTY_MINUTES: "Whether a minute without a trade has a row or is missing.",
    Property.VALUES: "Whether the exchange still sends the stored values for settled candles.",
    Property.FRESHNESS: "Whether the newest candle is up to date.",
    Property.LIMITS: "Whether the exchange throttled the requests of the probe.",
    Property.ANSWERS: "Whether the exchange answers with candles, or with an error.",
    Property.MARKETS: "The number of active spot markets.",
    Property.CHARGE: "The cost of a page in ccxt's rate limiter.",
    Property.RATE: "The milliseconds between two requests of cost 1 in ccxt's rate limiter.",
}


@dataclass(frozen=True)
class Finding:
    """The measured and the expected value of one property, as texts. A value that is not known is None."""

    subject: Property
    measured: str | None
    expected: str | None

    @property
    def differs(self) -> bool:
        if self.measured is None or self.expected is None:
            return False
        if self.subject is Property.MARKETS:
            share = int(self.measured) / max(1, int(self.expected))
            return not _FEWEST_MARKETS <= share <= _MOST_MARKETS
        return self.measured != self.expected


def compare(
    measured: Mapping[Property, str | None], recorded: Mapping[Property, str], last: Mapping[Property, str]
) -> list[Finding]:
    """Return a finding for each property.

    `measured`: the values of this probe.
    `recorded`: the values in the exchange's record.
    `last`: for each property, the last value that an earlier probe measured.
    """
    findings = []
    for property_ in Property:
        expected = recorded.get(property_, last.get(property_))
        findings.append(Finding(property_, measured.get(property_), expected))
    return findings


def sentence(finding: Finding) -> str:
    """Return a description of the difference between the measured and the expected value."""
    return f"{finding.subject.value}: {finding.measured}, not {finding.expected}. {SENTENCES[finding.subject]}"
