"""The rows and lists that are held, by key, with the indexes over them; none outlives its entry."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from bridge.gateway.cache.entry import EntryTable, Fill, RowEntry, Scope, entry_bytes, frozen_claim
from bridge.gateway.cache.lists import ListEntry, ListKey, Lists, list_bytes
from bridge.gateway.cache.sieve import Sieve


class HeldAnswers:
    """Rows, absences and lists. Used by one thread.

    max_bytes: bound of what is held, indexes included.
    freshness: the follower's, frozen into what is held no longer.
    """

    def __init__(self, max_bytes: int, freshness: Callable[[], Any]) -> None:
        self._freshness = freshness
        self._tables: dict[str, dict[Scope, EntryTable]] = {}
        self._lists = Lists()
        self._sieve: Sieve[RowEntry | ListEntry] = Sieve(max_bytes, _size, self._forget)

    def __len__(self) -> int:
        return len(self._sieve)

    @property
    def held_bytes(self) -> int:
        """Bytes of what is held."""
        return self._sieve.held_bytes

    @property
    def lists(self) -> Lists:
        """For counts."""
        return self._lists

    def row(self, scope: Scope, entity: str, key: bytes) -> RowEntry | None:
        """The entry of one scope."""
        tables = self._tables.get(entity)
        table = None if tables is None else tables.get(scope)
        return None if table is None else table.get(key)

    def rows(self, entity: str, key: bytes) -> list[RowEntry]:
        """The entries of all scopes."""
        return [table[key] for table in self._tables.get(entity, {}).values() if key in table]

    def list_of(self, key: ListKey) -> ListEntry | None:
        """The list with that key."""
        return self._lists.get(key)

    def lists_of(self, entity: str) -> list[ListEntry]:
        """All lists of an entity."""
        return self._lists.of_entity(entity)

    def affected_lists(
        self, entity: str, key: bytes, after: Mapping[str, Any] | None
    ) -> list[ListEntry]:
        """The lists that a change of that row may change."""
        return list(self._lists.affected(entity, key, after))

    def table(self, scope: Scope, entity: str) -> EntryTable:
        """The entries of an entity and scope, which a Fill refers to."""
        tables = self._tables.setdefault(entity, {})
        table = tables.get(scope)
        if table is None:
            table = tables[scope] = EntryTable(entity, scope)
        return table

    def table_of(self, entry: RowEntry) -> EntryTable:
        """The table that an entry is in. Raises LookupError for one that is held no longer."""
        origin = held_origin(entry)
        return self.table(origin.scope, origin.entity)

    def put(self, entry: RowEntry) -> bool:
        """Hold an entry instead of the one with its key; False if it is larger than all may be."""
        table = self.table_of(entry)
        replaced = table.get(entry.key)
        if replaced is not None:
            self.drop(replaced)
        if not self._sieve.insert(entry):
            return False
        table[entry.key] = entry
        return True

    def put_list(self, entry: ListEntry) -> bool:
        """Hold a list instead of the one with its key; False if it is larger than all may be."""
        replaced = self._lists.get(entry.key)
        if replaced is not None:
            self.drop(replaced)
        if not self._sieve.insert(entry):
            return False
        self._lists.add(entry)
        return True

    def drop(self, entry: RowEntry | ListEntry) -> None:
        """Hold it no longer."""
        self._sieve.remove(entry)
        self._forget(entry)

    def drop_entity(self, entity: str) -> None:
        """Hold nothing of an entity."""
        for table in self._tables.get(entity, {}).values():
            for entry in list(table.values()):
                self.drop(entry)
        for listed in self._lists.of_entity(entity):
            self.drop(listed)

    def drop_all(self) -> None:
        """Hold nothing."""
        for entity in self._tables:
            self.drop_entity(entity)
        for listed in self._lists.all():
            self.drop(listed)

    def _forget(self, entry: RowEntry | ListEntry) -> None:
        """Take it out of the indexes, and freeze its claim."""
        if isinstance(entry, RowEntry):
            del self.table_of(entry)[entry.key]
        else:
            self._lists.discard(entry)
        entry.origin = frozen_claim(entry.origin, self._freshness())


def held_origin(entry: RowEntry | ListEntry) -> Fill:
    """What brought an entry that is held. Raises LookupError for one that isn't."""
    if isinstance(entry.origin, Fill):
        return entry.origin
    raise LookupError("it is held no longer")


def _size(entry: RowEntry | ListEntry) -> int:
    return entry_bytes(entry) if isinstance(entry, RowEntry) else list_bytes(entry)
