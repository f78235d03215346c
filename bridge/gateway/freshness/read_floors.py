"""What a reader has read before, so that no later read of a row shows an older state. Pure."""

from __future__ import annotations

from typing import Final, NamedTuple

from bridge.model.freshness import NEVER, NO_POSITION, Freshness

MAX_FLOORS: Final = 10_000
"""Rows of one reader; of older ones only the highest floor is kept, for all of them together."""


class ReadSpan(NamedTuple):
    """One live read. Its answer contains everything committed before `began`, and perhaps what was
    committed before `ended`.

    number: of the query in this process, from 1: the clock alone doesn't tell two queries apart.
    began, ended: when it was sent, and when its answer was there; on this process's clock.
    """

    number: int
    began: float
    ended: float


class ReadFloor(NamedTuple):
    """The oldest answer that doesn't go back.

    position: of the copies that were read.
    read: the last live read; None: none.
    """

    position: str = NO_POSITION
    read: ReadSpan | None = None

    def is_met_by(self, claim: Freshness, filled_by: ReadSpan | None = None) -> bool:
        """Whether an answer with this claim contains what was read before; `filled_by`: the live
        read that the copied row is from, None for one from the log.
        """
        if claim.position < self.position:
            return False
        if self.read is None or claim.as_of >= self.read.ended:
            return True
        return filled_by is not None and (
            filled_by == self.read or filled_by.began >= self.read.ended
        )


NO_READ: Final = 0
NO_FLOOR: Final = ReadFloor()
FloorKey = tuple[str, bytes]
"""Entity and key (without its schema id)."""


def higher(first: ReadFloor, second: ReadFloor) -> ReadFloor:
    """The floor whose answers meet both."""
    return ReadFloor(max(first.position, second.position), _later(first.read, second.read))


def _later(first: ReadSpan | None, second: ReadSpan | None) -> ReadSpan | None:
    """The read that contains both. Of reads that overlap neither does: then a span that is no
    read's, which only what began after both, or a claim, reaches.
    """
    if first is None or second is None or first == second:
        return first or second
    earlier, last = sorted((first, second), key=lambda read: read.ended)
    return last if last.began >= earlier.ended else ReadSpan(NO_READ, NEVER, last.ended)


class ReadFloors:
    """The floors of one reader, such as an agent, in one system. Used by one task."""

    def __init__(self, max_floors: int = MAX_FLOORS) -> None:
        self._max_floors = max_floors
        self._floors: dict[FloorKey, ReadFloor] = {}
        self._common = NO_FLOOR

    def floor(self, key: FloorKey) -> ReadFloor:
        """That of a row. Higher than needed for rows that were read long ago, or never."""
        return higher(self._floors.get(key, NO_FLOOR), self._common)

    def note_copy(
        self,
        key: FloorKey,
        claim: Freshness,
        row_position: str = NO_POSITION,
        filled_by: ReadSpan | None = None,
    ) -> None:
        """The reader was given a copy with this claim. `row_position`: of the row's last change that
        was applied to it, which may be after what is claimed. `filled_by`: see `ReadFloor`.
        """
        self._note(key, ReadFloor(max(claim.position, row_position), filled_by))

    def note_live(self, key: FloorKey, read: ReadSpan) -> None:
        """The reader was given the answer of a live read."""
        self._note(key, ReadFloor(NO_POSITION, read))

    def _note(self, key: FloorKey, floor: ReadFloor) -> None:
        before = self._floors.pop(key, NO_FLOOR)
        self._floors[key] = higher(before, floor)
        if len(self._floors) > self._max_floors:
            oldest = next(iter(self._floors))
            self._common = higher(self._common, self._floors.pop(oldest))


__all__ = ["NO_FLOOR", "FloorKey", "ReadFloor", "ReadFloors", "ReadSpan", "higher"]
