"""Digests as archives publish them."""

from __future__ import annotations

import pytest

from titan10_dagster.archives.digests import parse_digest

SHA, MD5 = "a" * 64, "b" * 32


@pytest.mark.parametrize(
    ("text", "digest"),
    [
        (f"{SHA}  BTC.zip\n", SHA),
        (f"{SHA} *BTC.zip", SHA),
        (f"{MD5}  BTC.zip", MD5),
        (SHA.upper(), SHA),
        (f"{SHA}  ETH.zip", None),
        ("<html>", None),
        ("", None),
        ("abc  BTC.zip", None),
    ],
)
def test_a_published_digest_is_read(text: str, digest: str | None) -> None:
    assert parse_digest(text.encode(), "BTC.zip") == digest
