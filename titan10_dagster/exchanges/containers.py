"""Find the list of records in an exchange's answer."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

_DEEPEST = 4  # the list of the records is inside at most this many nested objects and lists
# In one object or list, only this many nested objects and lists are searched (the first ones). If there are more, they
# are usually single records, which contain no list of records.
_MOST_NESTED = 20


@dataclass(frozen=True, eq=False)
class Container:
    """The part of an answer that contains the records.

    It is a list of records, a list of names, or an object with one record for each key.

    answer: the whole answer.
    path: the keys and indexes that lead from the answer to the container.
    items: the records, each with its key or index.
    """

    answer: Any
    path: tuple[Any, ...]
    items: Sequence[tuple[Any, Any]]

    def with_items(self, items: Sequence[tuple[Any, Any]]) -> Any:
        """Return a copy of the answer in which the container has only the given items."""
        return self._rebuilt(self.answer, self.path, items)

    def _rebuilt(self, node: Any, path: tuple[Any, ...], items: Sequence[tuple[Any, Any]]) -> Any:
        if not path:
            return dict(items) if isinstance(node, dict) else [record for _, record in items]
        copy = dict(node) if isinstance(node, dict) else list(node)
        copy[path[0]] = self._rebuilt(node[path[0]], path[1:], items)
        return copy


def container_of(answer: Any, path: tuple[Any, ...] | None = None) -> Container | None:
    """Return the longest container of records in an answer; None if the answer has no container.

    `path`: if it is not None, the container at this path is returned; None if there is none.
    """
    if path is not None:
        return next((Container(answer, path, items) for at, items in _containers(answer, ()) if at == path), None)
    longest: Container | None = None
    for at, items in _containers(answer, ()):
        if longest is None or len(items) >= len(longest.items):
            longest = Container(answer, at, items)
    return longest


def _containers(node: Any, path: tuple[Any, ...]) -> Iterator[tuple[tuple[Any, ...], list[tuple[Any, Any]]]]:
    if not isinstance(node, (dict, list)):
        return
    items = list(node.items()) if isinstance(node, dict) else list(enumerate(node))
    nested = [(key, item) for key, item in items if isinstance(item, (dict, list))]
    # More than half of the items in a container are objects and lists or (at Gemini) names of markets. Most items of a
    # single record are other values.
    names: list[str] = []
    if isinstance(node, list):
        names = [item for item in node if isinstance(item, str)]
    if max(len(nested), len(names)) * 2 > len(items):
        yield path, items
    if len(path) < _DEEPEST:
        for key, item in nested[:_MOST_NESTED]:
            yield from _containers(item, (*path, key))
