"""The measurements of a probe of an exchange, compared with the expected values. This module makes no requests.

The expected value of a property is the one in the exchange's record or, if the record has none, the one of the last
probe. A property without a measured or an expected value does not count as different.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum

_FEWEST_MARKETS, _MOST_MARKETS = 0.8, 1.5  # as shares of the former number; exchanges list and delist all the time


class Property(StrEnum):
    """One property of an exchange; `SENTENCES` describes each."""

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
    Property.END: "Whether the candle after the last one that was requested is in the answer.",
    Property.DEPTH: "How many candles back from now the exchange still serves.",
    Property.EMPTY_MINUTES: "Whether a minute without a trade is a row or is missing.",
    Property.VALUES: "Whether settled candles have the values that are stored.",
    Property.FRESHNESS: "Whether the newest candle is of now.",
    Property.LIMITS: "Whether the exchange throttled the requests of the probe.",
    Property.ANSWERS: "Whether the exchange answers with candles, or with an error.",
    Property.MARKETS: "The number of spot markets that trade.",
    Property.CHARGE: "ccxt's charge for a page, in units of its rate limit.",
    Property.RATE: "ccxt's milliseconds between two requests of charge 1.",
}


@dataclass(frozen=True)
class Finding:
    """The measured value of one property, as texts that can be stored and shown. None: not known."""

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
    """Return a finding for each property: `recorded` is what the exchange's record says, `last` the last probe."""
    findings = []
    for property_ in Property:
        expected = recorded.get(property_, last.get(property_))
        findings.append(Finding(property_, measured.get(property_), expected))
    return findings


def sentence(finding: Finding) -> str:
    """Describe the difference in one sentence."""
    return f"{finding.subject.value}: {finding.measured}, not {finding.expected}. {SENTENCES[finding.subject]}"
