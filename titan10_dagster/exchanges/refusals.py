"""Check answers without candles: whether they report an error, and whether the exchange sent an empty list.

ccxt does not know all errors of an exchange. An unknown error with HTTP 200 and an empty list of candles looks like a
time without trades. After two of these answers, the requested candles would wrongly count as absent.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Any

from titan10_dagster.exchanges.venues.venue import Wire

log = logging.getLogger(__name__)

_QUOTED_CHARACTERS = 160
_CODES = ("code", "retCode", "ret_code", "error_code", "errorCode", "err-code", "rc", "status")
_MESSAGES = ("msg", "message", "retMsg", "ret_msg", "error_msg", "errorMessage", "err-msg", "reason", "mc")
_FAILED = frozenset({"error", "err", "fail", "failed", "failure", "false", "maintenance"})
# Codes that mean success: any number of zeros, 200, 200000 (KuCoin) and 1000 (BitMart).
_SUCCESS = re.compile(r"0+|200|200000|1000")
_SUCCESS_WORDS = frozenset({"", "ok", "success", "succeed", "successful", "none", "null"})


def is_error(answer: Any) -> bool:
    """Return whether a parsed answer reports an error."""
    if not isinstance(answer, Mapping):
        return False
    if answer.get("success") is False or _has_failed(answer, ("success", "status", "result")):
        return True
    if _is_named(answer.get("error")) or _is_named(answer.get("errors")):
        return True
    has_words = any(_is_named(answer.get(name)) for name in _MESSAGES)
    return has_words and (_is_named(answer.get("label")) or any(_is_error_code(answer.get(name)) for name in _CODES))


def is_sent_empty_list(parsed: Any, empty: Any, wire: Wire | None) -> bool:
    """Return whether the exchange sent the empty list of candles. If the result is False, ccxt created the list.

    ccxt creates an empty list if the answer has no list of candles. If the exchange has a `Wire`, ccxt's class passes
    on the list object from the answer, so the same object must be in the answer. The classes of other exchanges
    sometimes copy the list. Therefore, for these other exchanges, any empty list in the answer is accepted, except for
    a list of errors.

    `parsed`: the answer, or a part of it.
    `empty`: the empty list of candles.
    """
    if parsed is empty or (wire is None and parsed == []):
        return True
    if isinstance(parsed, list):
        return any(is_sent_empty_list(item, empty, wire) for item in parsed[:10])
    if isinstance(parsed, dict):
        for key, item in parsed.items():
            is_of_errors = wire is None and str(key).lower().startswith("err")
            if not is_of_errors and is_sent_empty_list(item, empty, wire):
                return True
    return False


def without_warnings(parsed: Any, exchange: str, warning: str | None) -> Any:
    """Return a parsed answer without its warnings, which are logged. ccxt would raise an error for each warning.

    An answer without a result, or with an entry that is not a warning, is returned unchanged.

    `warning`: see `Venue.warning`.
    """
    entries = parsed.get("error") if isinstance(parsed, dict) else None
    if warning is None or not isinstance(entries, list) or not entries or not parsed.get("result"):
        return parsed
    if not all(isinstance(entry, str) and re.fullmatch(warning, entry, re.DOTALL) for entry in entries):
        return parsed
    for entry in entries:
        _log_once(exchange, entry[:_QUOTED_CHARACTERS])
    return {**parsed, "error": []}


@lru_cache(256)
def _log_once(exchange: str, warning: str) -> None:
    log.warning("%s: the exchange's answer has a warning, and is used: %r", exchange, warning)


def _has_failed(answer: Mapping[str, Any], names: Iterable[str]) -> bool:
    return any(str(answer.get(name)).lower() in _FAILED for name in names)


def _is_named(value: Any) -> bool:
    """Return whether a value describes an error.

    A text describes an error if it does not mean success. An object or list describes an error if it is not empty.
    """
    if isinstance(value, str):
        return value.strip().lower() not in _SUCCESS_WORDS and not _SUCCESS.fullmatch(value.strip())
    return bool(value)


def _is_error_code(value: Any) -> bool:
    text = str(value).strip().lower()
    return value is not None and text not in _SUCCESS_WORDS and not _SUCCESS.fullmatch(text)
