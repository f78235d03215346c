"""Where a row came from: system, source, time and position."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal

from bridge.model.event import RowVersion, row_version
from bridge.model.types import Entity


@dataclass(frozen=True, slots=True)
class Provenance:
    """`entity`: `system.entity`; `source`: where it was read; `as_of`: the latest time at which it
    was true;
    `position`: in the system's history, if known.
    """

    entity: str
    source: Literal["event", "legacy", "cache", "test"]
    as_of: datetime
    position: str | None = None

    @property
    def system(self) -> str:
        """The legacy system that the row is from."""
        return self.entity.partition(".")[0]


class TracedRow:
    """A row and its provenance; fields are those of the row, by attribute and by name.

    Equal to any row that has the same fields with the same values. Names with a leading underscore
    never collide with fields, which begin with a letter.
    """

    __slots__ = ("_provenance", "_row", "_type")

    def __init__(self, row: Any, provenance: Provenance, entity: Entity) -> None:
        self._row = row
        self._provenance = provenance
        self._type = entity

    def __getattr__(self, name: str) -> Any:
        # Copying accesses attributes before there is a row.
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._row, name)

    def __getitem__(self, name: str) -> Any:
        return self._row[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._row.keys())

    def __len__(self) -> int:
        return len(list(self._row.keys()))

    def __contains__(self, name: object) -> bool:
        return name in self._row.keys()  # noqa: SIM118 - a row is no mapping of its own

    def keys(self) -> Any:
        """Names of all fields."""
        return self._row.keys()

    def __eq__(self, other: object) -> bool:
        keys = getattr(other, "keys", None)
        if keys is None:
            return NotImplemented
        theirs: Any = other
        names = list(self.keys())
        return set(names) == set(keys()) and all(self[name] == theirs[name] for name in names)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self._row)


def provenance(row: Any) -> Provenance:
    """Where `row` came from. Raises TypeError for what isn't a row of an event or a read."""
    return _traced(row)._provenance  # noqa: SLF001 - one module


def version(row: Any) -> RowVersion:
    """The version of a row of an event or a read, for `Command(expect=...)`.

    Raises TypeError for other things, Unavailable when a field wasn't sent.
    """
    traced = _traced(row)
    return row_version(traced._type, traced)  # noqa: SLF001 - one module


def _traced(row: Any) -> TracedRow:
    if isinstance(row, TracedRow):
        return row
    message = (
        f"{type(row).__name__} has no provenance: pass a row of an event, or one that "
        "ctx.get, get_many, related or query returned"
    )
    raise TypeError(message)
