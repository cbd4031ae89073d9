from __future__ import annotations

import pytest

from titan10_dagster.planning.probe import SENTENCES, Finding, Property, compare, sentence


def test_every_property_has_a_sentence() -> None:
    assert set(SENTENCES) == set(Property)
    assert all(text.endswith(".") for text in SENTENCES.values())


def test_the_record_comes_before_the_last_probe() -> None:
    recorded = {Property.PAGE_SIZE: "1000"}
    last = {Property.PAGE_SIZE: "500", Property.ORDER: "oldest first"}
    measured = {Property.PAGE_SIZE: "500", Property.ORDER: "newest first"}
    found = {finding.subject: finding for finding in compare(measured, recorded, last)}
    assert (found[Property.PAGE_SIZE].expected, found[Property.PAGE_SIZE].differs) == ("1000", True)
    assert (found[Property.ORDER].expected, found[Property.ORDER].differs) == ("oldest first", True)
    assert set(found) == set(Property)


def test_what_is_not_known_does_not_differ() -> None:
    assert not Finding(Property.DEPTH, None, "720").differs
    assert not Finding(Property.DEPTH, "720", None).differs


@pytest.mark.parametrize(
    ("markets", "differs"), [("50", True), ("79", True), ("80", False), ("150", False), ("151", True)]
)
def test_a_list_of_markets_may_grow_and_shrink_a_little(markets: str, differs: bool) -> None:
    assert Finding(Property.MARKETS, markets, "100").differs is differs


def test_a_difference_is_a_sentence_with_both_values() -> None:
    text = sentence(Finding(Property.PAGE_SIZE, "333", "1000"))
    assert text == "page_size: 333, not 1000. The number of candles that one request returns."
