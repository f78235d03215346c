"""The changes of few rows, collected while somebody waits for them. Used by one event loop."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from bridge.gateway.audit.verdict import ChangeSince

MAX_CHANGES: Final = 1_000
"""Of one watched row; a row with more can't be judged."""


class ChangeWatch:
    """What was applied to one row, or to all of its entity, since it was begun.

    changes: in the order in which they were applied.
    spoiled: why they aren't all that happened, such as a TRUNCATE or a dead letter; empty: they are.
    """

    __slots__ = ("changes", "spoiled")

    def __init__(self) -> None:
        self.changes: list[ChangeSince] = []
        self.spoiled = ""


class ChangeWatches:
    """All rows of one system that are watched. False while none is, so that whoever applies changes
    has nothing to do.
    """

    def __init__(self) -> None:
        self._watches: dict[tuple[str, bytes], list[ChangeWatch]] = {}

    def __bool__(self) -> bool:
        return bool(self._watches)

    @contextmanager
    def watching(self, entity: str, key: bytes) -> Iterator[ChangeWatch]:
        """Collect what is applied to a row in the block."""
        watch = ChangeWatch()
        watches = self._watches.setdefault((entity, key), [])
        watches.append(watch)
        try:
            yield watch
        finally:
            watches.remove(watch)
            if not watches:
                del self._watches[entity, key]

    def note(self, entity: str, key: bytes, change: ChangeSince) -> None:
        """This change of a row was applied."""
        for watch in self._watches.get((entity, key), ()):
            if len(watch.changes) < MAX_CHANGES:
                watch.changes.append(change)
            else:
                watch.spoiled = f"the row was changed more than {MAX_CHANGES} times meanwhile"

    def spoil(self, reason: str, entity: str | None = None, key: bytes | None = None) -> None:
        """Changes of a row (of every row of the entity, of the system) may be missing."""
        for (watched_entity, watched_key), watches in self._watches.items():
            if entity in (None, watched_entity) and key in (None, watched_key):
                for watch in watches:
                    watch.spoiled = reason
