"""Where a row came from: system, source, time and position."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Literal, Protocol

from bridge.model.event import RowVersion, row_version
from bridge.model.types import Entity


@dataclass(frozen=True, slots=True)
class Provenance:
    """Where a row came from.

    entity: `system.entity`.
    source: `event`: the row of an event; `legacy`: the legacy system was asked; `cache`, `view`: a copy
    that the system's changes keep right; `test`: the test bench.
    as_of: everything that was committed in the legacy system before it is in the row; of an event
    when it was captured.
    position: every change up to it in the system's history is in the row; None: not known.
    """

    entity: str
    source: Literal["event", "legacy", "cache", "view", "test"]
    as_of: datetime
    position: str | None = None

    @property
    def system(self) -> str:
        """The legacy system that the row is from."""
        return self.entity.partition(".")[0]


class SupportsProvenance(Protocol):
    """What a row is from that is still held: its provenance grows with what is proved of it."""

    def provenance(self) -> Provenance:
        """As of now."""


class TracedRow:
    """A row and its provenance; fields are those of the row, by attribute and by name.

    Equal to any row that has the same fields with the same values. Names with a leading underscore
    never collide with fields, which begin with a letter.
    """

    __slots__ = ("_peers", "_provenance", "_row", "_type")

    def __init__(
        self, row: Any, provenance: Provenance | SupportsProvenance, entity: Entity
    ) -> None:
        self._row = row
        self._provenance = provenance
        self._type = entity
        self._peers: Any = None

    def __reduce__(self) -> tuple[Any, ...]:
        # A copy has no peers: they would be copied, too.
        return type(self), (self._row, self._provenance, self._type)

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


class RowList(list[Any]):
    """The rows of a query. truncated: they are as many as its limit, so that there may be more."""

    __slots__ = ("truncated",)

    def __init__(self, rows: Iterable[Any], *, is_truncated: bool) -> None:
        super().__init__(rows)
        self.truncated = is_truncated


def provenance(row: Any) -> Provenance:
    """Where `row` came from, as far as it is proved by now. Raises TypeError for what isn't a row of an
    event or a read.
    """
    origin = origin_of(row)
    return origin if isinstance(origin, Provenance) else origin.provenance()


def origin_of(row: Any) -> Provenance | SupportsProvenance:
    """What `provenance` asks. Raises TypeError as that does."""
    return _traced(row)._provenance  # noqa: SLF001 - one module


def entity_of(row: Any) -> str:
    """The entity of a row, `system.entity`. Raises TypeError as `provenance`."""
    return _traced(row)._type.qualified  # noqa: SLF001 - one module


def version(row: Any) -> RowVersion:
    """The version of a row of an event or a read, for `Command(expect=...)`.

    Raises TypeError for other things, Unavailable when a field wasn't sent.
    """
    traced = _traced(row)
    return row_version(traced._type, traced)  # noqa: SLF001 - one module


def peers_of(row: Any) -> Any:
    """The group of rows that were answered with this one, of the gateway's; None: of no group."""
    return row._peers if type(row) is TracedRow else None  # noqa: SLF001 - one module


def untraced(row: TracedRow) -> Any:
    """The row itself, which knows neither provenance nor peers."""
    return row._row  # noqa: SLF001 - one module


def set_peers(row: TracedRow, group: Any) -> None:
    """The row belongs to this group from now on."""
    row._peers = group  # noqa: SLF001 - one module


def _traced(row: Any) -> TracedRow:
    if isinstance(row, TracedRow):
        return row
    message = (
        f"{type(row).__name__} has no provenance: pass a row of an event, or one that "
        "ctx.get, get_many, related or query returned"
    )
    raise TypeError(message)
