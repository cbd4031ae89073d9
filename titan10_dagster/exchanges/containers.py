"""Find the list of records in an exchange's answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_DEEPEST = 4  # objects and lists around the records
_MOST_NESTED = 20  # records that are searched for a container of their own; a few are enough


@dataclass(frozen=True, eq=False)
class Container:
    """The part of an answer that holds its records: a list of records or of names, or an object with a record per key.

    If there are several, it is the longest one. answer: the whole answer. path: the keys and indexes that lead to the
    container. items: pairs of a key or an index and its record.
    """

    answer: Any
    path: tuple[Any, ...]
    items: Sequence[tuple[Any, Any]]

    def with_items(self, items: Sequence[tuple[Any, Any]]) -> Any:
        """Return the answer with only these items in the container."""
        return self._rebuilt(self.answer, self.path, items)

    def _rebuilt(self, node: Any, path: tuple[Any, ...], items: Sequence[tuple[Any, Any]]) -> Any:
        if not path:
            return dict(items) if isinstance(node, dict) else [record for _, record in items]
        copy = dict(node) if isinstance(node, dict) else list(node)
        copy[path[0]] = self._rebuilt(node[path[0]], path[1:], items)
        return copy


def container_of(answer: Any) -> Container | None:
    """Return the container of an answer's records, None if it has none."""
    longest: Container | None = None
    for path, items in _containers(answer, ()):
        if longest is None or len(items) >= len(longest.items):
            longest = Container(answer, path, items)
    return longest


def _containers(node: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], list[tuple[Any, Any]]]]:
    if not isinstance(node, (dict, list)):
        return
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
    nested = [(key, item) for key, item in items if isinstance(item, (dict, list))]
    # Most items of a list of records are objects, lists or names (gemini). Most values of a single record are not.
    names: list[str] = []
    if isinstance(node, list):
        names = [item for item in node if isinstance(item, str)]
    if max(len(nested), len(names)) * 2 > len(items):
        yield path, items
    if len(path) < _DEEPEST:
        for key, item in nested[:_MOST_NESTED]:
            yield from _containers(item, (*path, key))
