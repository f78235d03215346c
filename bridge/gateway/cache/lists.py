"""Which lists a change affects, without its old row. Pure.

A list changes by c iff c is a member or c's `after` matches its condition: both parents of a moved
line are affected, the old one as the line is a member of its list, the new one by `after`.
"""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping
from sys import getsizeof
from typing import Any, Final, NamedTuple

from bridge.gateway.cache.entry import Claim, Fill, Scope
from bridge.gateway.cache.fences import Fence

Values = tuple[Any, ...]

LIST_BYTES: Final = 700
MEMBER_BYTES: Final = 220
"""Bytes of a member beside its key and row: its slots in the list and in the index."""


class ListShape(NamedTuple):
    """What lists of one kind have in common.

    fields: the fields that the condition compares.
    rest: order, limit and whatever else tells lists with the same values apart.
    by_values: whether fields equal to one of `ListKey.matches` are the whole condition; if not,
    every change of the entity affects the list.
    """

    fields: tuple[str, ...]
    rest: Hashable = None
    by_values: bool = True


class ListKey(NamedTuple):
    """One list.

    matches: the values of the shape's fields that its rows have, any of these; in the form in which
    `EntityChange.after` has them.
    """

    scope: Scope
    entity: str
    shape: ListShape
    matches: tuple[Values, ...]


class ListEntry:
    """A list that is held; `origin` and `visited` as those of an RowEntry.

    members: the keys of its rows, in its order.
    payloads: the rows, aligned.
    """

    __slots__ = ("key", "members", "origin", "payloads", "visited")

    def __init__(
        self, key: ListKey, members: tuple[bytes, ...], payloads: tuple[Any, ...], origin: Fill
    ) -> None:
        self.key = key
        self.members = members
        self.payloads = payloads
        self.origin: Fill | Claim = origin
        self.visited: bool | None = False


def list_bytes(entry: ListEntry) -> int:
    """Bytes that a list takes, with its rows and its part of the indexes."""
    rows = sum(map(getsizeof, entry.members)) + sum(map(getsizeof, entry.payloads))
    matches = sum(MEMBER_BYTES + sum(map(getsizeof, values)) for values in entry.key.matches)
    return LIST_BYTES + rows + MEMBER_BYTES * len(entry.members) + matches


def values_of(after: Mapping[str, Any], fields: tuple[str, ...]) -> Values | None:
    """The values of these fields; None if one of them isn't known (`Unavailable` is a KeyError)."""
    try:
        return tuple(after[field] for field in fields)
    except KeyError:
        return None


def fence_affects(
    fence: Fence, shape: ListShape, matches: Collection[Values], members: Collection[bytes]
) -> bool:
    """Whether what the fence stands for may change a list with these members."""
    if fence.key is None or fence.key in members or not shape.by_values:
        return True
    if fence.values is None:
        return False
    values = values_of(fence.values, shape.fields)
    return values is None or values in matches


class Lists:
    """The lists that are held, with the indexes that find those that a change affects."""

    def __init__(self) -> None:
        self._lists: dict[ListKey, ListEntry] = {}
        self._by_member: dict[tuple[str, bytes], tuple[ListEntry, ...]] = {}
        self._by_values: dict[str, dict[tuple[str, ...], dict[Values, tuple[ListEntry, ...]]]] = {}
        self._by_entity: dict[str, dict[ListEntry, None]] = {}
        self._by_change: dict[str, dict[ListEntry, None]] = {}

    def __len__(self) -> int:
        return len(self._lists)

    @property
    def index_size(self) -> int:
        """How many references to lists the indexes hold."""
        by_values = (of for shapes in self._by_values.values() for of in shapes.values())
        return (
            sum(map(len, self._by_member.values()))
            + sum(len(entries) for of in by_values for entries in of.values())
            + sum(map(len, self._by_change.values()))
        )

    def get(self, key: ListKey) -> ListEntry | None:
        """The list, if it is held."""
        return self._lists.get(key)

    def all(self) -> list[ListEntry]:
        """All lists."""
        return list(self._lists.values())

    def of_entity(self, entity: str) -> list[ListEntry]:
        """All lists of an entity."""
        return list(self._by_entity.get(entity, ()))

    def add(self, entry: ListEntry) -> None:
        """Hold a list; there is none with its key."""
        scope, entity, shape, matches = entry.key
        del scope
        self._lists[entry.key] = entry
        self._by_entity.setdefault(entity, {})[entry] = None
        for member in entry.members:
            _append(self._by_member, (entity, member), entry)
        if not shape.by_values:
            self._by_change.setdefault(entity, {})[entry] = None
            return
        of_shape = self._by_values.setdefault(entity, {}).setdefault(shape.fields, {})
        for values in matches:
            _append(of_shape, values, entry)

    def discard(self, entry: ListEntry) -> None:
        """Hold a list no longer, in any index."""
        entity, shape = entry.key.entity, entry.key.shape
        del self._lists[entry.key]
        _pop(self._by_entity, entity, entry)
        for member in entry.members:
            _cut(self._by_member, (entity, member), entry)
        if not shape.by_values:
            _pop(self._by_change, entity, entry)
            return
        shapes = self._by_values[entity]
        of_shape = shapes[shape.fields]
        for values in entry.key.matches:
            _cut(of_shape, values, entry)
        if not of_shape:
            del shapes[shape.fields]
        if not shapes:
            del self._by_values[entity]

    def affected(
        self, entity: str, key: bytes, after: Mapping[str, Any] | None
    ) -> dict[ListEntry, None]:
        """The lists that a change of that row may change. `after`: None for a delete."""
        affected = dict.fromkeys(self._by_member.get((entity, key), ()))
        affected.update(self._by_change.get(entity, {}))
        if after is not None:
            affected.update(dict.fromkeys(self._matching(entity, after)))
        return affected

    def _matching(self, entity: str, after: Mapping[str, Any]) -> Iterator[ListEntry]:
        for fields, of_shape in self._by_values.get(entity, {}).items():
            values = values_of(after, fields)
            if values is not None:
                yield from of_shape.get(values, ())
            else:
                for entries in of_shape.values():
                    yield from entries


def _append(
    index: dict[Any, tuple[ListEntry, ...]],
    key: Any,
    entry: ListEntry,
) -> None:
    index[key] = (*index.get(key, ()), entry)


def _cut(index: dict[Any, tuple[ListEntry, ...]], key: Any, entry: ListEntry) -> None:
    """Remove the entry; members of a list, and its values, may be repeated."""
    left = tuple(other for other in index.get(key, ()) if other is not entry)
    if left:
        index[key] = left
    else:
        index.pop(key, None)


def _pop(index: dict[str, dict[ListEntry, None]], entity: str, entry: ListEntry) -> None:
    index[entity].pop(entry, None)
    if not index[entity]:
        del index[entity]
