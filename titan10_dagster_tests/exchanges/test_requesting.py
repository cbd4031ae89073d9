from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, cast

import numpy as np
import pytest

from titan10_dagster.candles.slices import Series, to_ms
from titan10_dagster.errors import FetchError, TransientError, UnknownSymbol
from titan10_dagster.exchanges.client import ExchangeClient
from titan10_dagster.exchanges.pages import Page, PageRequest
from titan10_dagster.exchanges.requesting import Requester
from titan10_dagster_tests.exchanges.harness import MINUTE, NO_WAITING, NOW, Messages, now, run

SERIES = Series("binance", "BTC/USDT", MINUTE)
START = to_ms(NOW)
REQUEST = PageRequest(START, 10, START + 600_000, (START, START + 600_000))
PAGE = Page(np.full((10, 6), 1.0), NOW, 0.25)


@dataclass
class Scripted:
    """A client with prepared answers."""

    outcomes: list[Page | FetchError]
    requests: list[tuple[datetime, int]] = field(default_factory=list)

    async def fetch_page(self, series: Series, since: datetime, limit: int, until: datetime | None = None) -> Page:
        self.requests.append((since, limit))
        outcome = self.outcomes.pop(0)
        if isinstance(outcome, FetchError):
            raise outcome
        return outcome


def requester(client: Scripted, log: Messages | None = None) -> Requester:
    return Requester(cast("ExchangeClient", client), NO_WAITING, log or Messages(), now)


def test_a_page_comes_with_what_it_cost() -> None:
    error: Any = TransientError("binance: HTTP 500", exchange="binance", status=500)
    client, log = Scripted([error, error, PAGE]), Messages()
    reply = run(requester(client, log).page(SERIES, REQUEST))
    assert (reply.page, reply.error, reply.request) == (PAGE, None, REQUEST)
    assert (reply.effort.requests, reply.effort.retries, reply.effort.seconds) == (3, 2, 0.25)
    assert client.requests == [(NOW.replace(microsecond=0), 10)] * 3
    assert log.said == ["binance: HTTP 500"] * 2


@pytest.mark.parametrize("error", [UnknownSymbol("gone", exchange="binance", status=400)])
def test_an_error_is_part_of_the_reply(error: FetchError) -> None:
    reply = run(requester(Scripted([error])).page(SERIES, REQUEST))
    assert (reply.page, reply.error, reply.effort.requests) == (None, error, 1)
    assert reply.day == NOW.date()
