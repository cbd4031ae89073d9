"""Recognize errors that an exchange sends with HTTP 200 and an empty list of candles.

ccxt's classes know the codes of an exchange, but not all of its errors. If such an answer also has an empty list, it
looks like a stretch without trades, and after a second one the candles would count as absent for good.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

_CODES = ("code", "retCode", "ret_code", "error_code", "errorCode", "err-code", "rc", "status")
_MESSAGES = ("msg", "message", "retMsg", "ret_msg", "error_msg", "errorMessage", "err-msg", "reason", "mc")
_FAILED = frozenset({"error", "err", "fail", "failed", "failure", "false", "maintenance"})
# Codes of success: zeros, HTTP's 200 (KuCoin: 200000) and 1000 (BitMart).
_SUCCESS = re.compile(r"0+|200|200000|1000")
_SUCCESS_WORDS = frozenset({"", "ok", "success", "succeed", "successful", "none", "null"})


def is_error(answer: Any) -> bool:
    """Return whether a parsed answer says that it is an error."""
    if not isinstance(answer, Mapping):
        return False
    if answer.get("success") is False or _has_failed(answer, ("success", "status", "result")):
        return True
    if _is_named(answer.get("error")) or _is_named(answer.get("errors")):
        return True
    has_words = any(_is_named(answer.get(name)) for name in _MESSAGES)
    return has_words and (_is_named(answer.get("label")) or any(_is_error_code(answer.get(name)) for name in _CODES))


def _has_failed(answer: Mapping[str, Any], names: Iterable[str]) -> bool:
    return any(str(answer.get(name)).lower() in _FAILED for name in names)


def _is_named(value: Any) -> bool:
    """Return whether a value describes an error: text, or an object or list with content."""
    if isinstance(value, str):
        return value.strip().lower() not in _SUCCESS_WORDS and not _SUCCESS.fullmatch(value.strip())
    return bool(value)


def _is_error_code(value: Any) -> bool:
    text = str(value).strip().lower()
    return value is not None and text not in _SUCCESS_WORDS and not _SUCCESS.fullmatch(text)
