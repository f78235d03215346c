"""Which groups of peers there are, for as long as somebody holds a row of them. Pure."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Final

from bridge.gateway.peers.peer_group import PeerGroup
from bridge.model.read_demands import ReadCause
from bridge.model.types import Relation

MAX_HELD_ROWS: Final = 50_000
"""Rows of all groups and of their answers together: the oldest group is closed beyond them."""
MAX_SEARCHED_GROUPS: Final = 8
"""Groups of one cause that a key may be of, the latest first."""


class _GroupRef(weakref.ref[PeerGroup]):
    """A group, the rows that are counted for it, and where else it is listed."""

    __slots__ = ("count", "listed")

    count: int
    listed: list[tuple[int, str]]


class GroupRegistry:
    """The groups that live; their rows keep them alive, this doesn't. Used by one task at a time.

    on_empty: called when the last group has ended.
    """

    def __init__(
        self, max_rows: int = MAX_HELD_ROWS, on_empty: Callable[[], object] = lambda: None
    ) -> None:
        self._max_rows = max_rows
        self._on_empty = on_empty
        self._refs: dict[_GroupRef, None] = {}
        self._by_target: dict[tuple[int, str], list[_GroupRef]] = {}
        self.held_rows = 0

    def __len__(self) -> int:
        return len(self._refs)

    def add(self, group: PeerGroup) -> None:
        """A new group."""
        ref = _GroupRef(group, self._drop)
        ref.count = len(group.rows)
        ref.listed = [
            (id(group.cause), relation.entity)
            for relation in group.entity.relations
            if relation.from_field
        ]
        for target in ref.listed:
            self._by_target.setdefault(target, []).append(ref)
        self._refs[ref] = None
        self._hold(ref.count)

    def grow(self, group: PeerGroup, rows: int) -> None:
        """So many more rows are held by a group."""
        for ref in weakref.getweakrefs(group):
            if ref in self._refs and isinstance(ref, _GroupRef):
                ref.count += rows
                self._hold(rows)

    def leading_to(self, cause: ReadCause, entity: str) -> list[tuple[PeerGroup, Relation]]:
        """Groups that were read on this behalf, with their relations to one row of an entity."""
        refs = self._by_target.get((id(cause), entity))
        if refs is None:
            return []
        return [
            (group, relation)
            for ref in reversed(refs[-MAX_SEARCHED_GROUPS:])
            if (group := ref()) is not None
            for relation in group.entity.relations
            if relation.entity == entity and relation.from_field
        ]

    def _hold(self, rows: int) -> None:
        self.held_rows += rows
        while self.held_rows > self._max_rows and len(self._refs) > 1:
            oldest = next(iter(self._refs))
            group = oldest()
            self._drop(oldest)
            if group is not None:
                group.close()

    def _drop(self, ref: weakref.ref[PeerGroup]) -> None:
        if not isinstance(ref, _GroupRef) or ref not in self._refs:
            return
        del self._refs[ref]
        self.held_rows -= ref.count
        for target in ref.listed:
            refs = self._by_target[target]
            refs.remove(ref)
            if not refs:
                del self._by_target[target]
        if not self._refs:
            self._on_empty()
