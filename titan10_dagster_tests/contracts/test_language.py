"""The rules for plain English and clear loops that can be counted. All other rules are in CONTRIBUTING.md."""

from __future__ import annotations

import re

from titan10_dagster_tests.contracts.sources import comprehensions, lines, loop_variables, modules, text

RIDDLES = re.compile(r"\b(told|tell|tells|nobody|somebody|whoever|anew)\b", re.IGNORECASE)

# The limits for the whole package.
MOST_RIDDLES = 15
MOST_COMPREHENSIONS = 22  # per 1,000 lines
MOST_ONES = 0


def test_sentences_name_their_subject() -> None:
    """The vague words are rare.

    For example, earlier texts said `told` instead of five precise words: log, raise, report, notify and serialize.
    """
    found = []
    for module in modules():
        for match in RIDDLES.finditer(text(module)):
            line = text(module).count("\n", 0, match.start()) + 1
            found.append(f"{module}:{line}: {match[0]}")
    assert len(found) <= MOST_RIDDLES, "\n".join(found)


def test_loop_variables_are_named_after_the_thing() -> None:
    """No loop variable is called `one`."""
    found = []
    for module in modules():
        found += [module for name in loop_variables(module) if name in ("one", "ones")]
    assert len(found) <= MOST_ONES, "\n".join(found)


def test_loops_are_more_common_than_dense_comprehensions() -> None:
    total = sum(comprehensions(module) for module in modules())
    per_thousand = 1_000 * total / sum(lines(module) for module in modules())
    assert per_thousand < MOST_COMPREHENSIONS, f"{per_thousand:.1f} comprehensions in 1,000 lines"
