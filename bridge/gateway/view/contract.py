"""What the Gateway uses of the view of one system: its first source.

A read, in the Gateway: `claim = view.claim(entity)`; if it is young enough for the request (`decide`, with
`is_held=True`), look up, and answer with that claim. The claim is taken first: a row may be younger than
its claim, never older. `NotHeld`, and a claim that is None, mean that the next source is asked.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, Protocol

from bridge.model.freshness import Freshness
from bridge.plan.lazy_record import LazyRow

ViewPhase = Literal["off", "opening", "building", "catching up", "ready"]


class NotHeld(Exception):
    """The view can't say: the next source has to be asked."""


class _NotHeldRow:
    """`NOT_HELD`, among rows."""

    __slots__ = ()


NOT_HELD: Final = _NotHeldRow()
"""In the place of a row: the view can't say whether there is one."""
RowOrNotHeld = LazyRow | None | _NotHeldRow


class KeyedRow(NamedTuple):
    """key: the log's, less its schema id."""

    key: bytes
    row: LazyRow


@dataclass(frozen=True, slots=True)
class ViewStatus:
    """For people and metrics.

    phase: `building` and `catching up` serve nothing yet. reason: why it is in it, for people.
    share: of what is to be read until it is ready, 0 to 1.
    rows: changes that were applied so far. rate: of them per second.
    bytes: of the file.
    entities: those that it holds. left_out: bare entity name -> why it isn't among them.
    doubts: bare entity name -> why it can't be answered now.
    """

    phase: ViewPhase
    reason: str = ""
    share: float = 0.0
    rows: int = 0
    rate: float = 0.0
    bytes: int = 0
    entities: Collection[str] = ()
    left_out: Mapping[str, str] | None = None
    doubts: Mapping[str, tuple[str, ...]] | None = None


class HoldsRows(Protocol):
    """The view of one system. Entity names are bare. Look-ups are plain calls that read a local file;
    any thread may make them.
    """

    def claim(self, entity: str) -> Freshness | None:
        """What is claimed of every row of the entity, its absence and its lists; None: nothing now, or
        the entity isn't held.
        """

    async def wait(self, entity: str, until: float) -> None:
        """Return when the claim includes a barrier that was begun after this call, or at `until`
        (seconds of `time.monotonic`), whichever comes first: decide again.
        """

    def get(self, entity: str, key: bytes) -> LazyRow | None:
        """The row of a key (the log's, less its schema id); None: there is none. Raises NotHeld."""

    def get_many(self, entity: str, keys: Sequence[bytes]) -> list[RowOrNotHeld]:
        """The rows of keys, aligned. Raises NotHeld if nothing can be said of any."""

    def has_lookup(self, entity: str, fields: Sequence[str]) -> bool:
        """Whether rows can be looked up by these fields, in any order, now."""

    def equal(
        self, entity: str, fields: Sequence[str], values: Sequence[Sequence[Any]], limit: int
    ) -> list[list[KeyedRow]]:
        """For each combination of values, aligned with `fields`, up to `limit` rows that have them
        (-1: all).

        None equals nothing. Raises NotHeld.
        """

    def shown_position(self) -> str:
        """Up to which position rows that were looked up until now may be; claims may be earlier."""

    def status(self) -> ViewStatus:
        """How it is now."""


__all__ = [
    "NOT_HELD",
    "HoldsRows",
    "KeyedRow",
    "NotHeld",
    "RowOrNotHeld",
    "ViewPhase",
    "ViewStatus",
]
