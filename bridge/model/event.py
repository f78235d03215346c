"""Events as agents see them: lazy rows over the log's own bytes.

Rows are anything with attribute and mapping access to the entity's fields (`order.total`,
`order["total"]`); the plan's lazy row is one, a row that a Reader returned is another.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from bridge.model.canonical import plain, sha256_hex
from bridge.model.types import Entity


class Row(Protocol):
    """One row of an entity: fields by attribute and by name.

    Reading a field that the source did not send raises `Unavailable`.
    """

    def __getattr__(self, name: str) -> Any: ...
    def __getitem__(self, name: str) -> Any: ...
    def __iter__(self) -> Iterator[str]: ...
    def keys(self) -> Any:
        """Names of all fields."""


class Unavailable(AttributeError, KeyError):
    """The source did not send this field (a big unchanged column). Read it with `ctx.get`."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else "unavailable"


class RowVersion(str):
    """A version with a reference to its row, so that it can be narrowed to a command's guards."""

    __slots__ = ("entity", "row")

    entity: Entity
    row: Any

    @classmethod
    def of(cls, text: str, entity: Entity, row: Any) -> RowVersion:
        """`text`, the version of `row`."""
        row_version = cls(text)
        row_version.entity, row_version.row = entity, row
        return row_version

    def guarded(self, guards: tuple[str, ...]) -> str:
        """The version over `guards` only, as compared by a command that declares them."""
        return row_version(self.entity, self.row, guards)


def row_version(entity: Entity, row: Any, guards: tuple[str, ...] = ()) -> RowVersion:
    """The version of a row, the same for an event and for a row that was read.

    The entity's own version field if declared (its canonical text), else SHA-256 of the canonical
    JSON of all fields, or of `guards` only. Raises Unavailable if one of these fields was not sent.
    """
    if entity.version and not guards:
        return RowVersion.of(str(plain(row[entity.version])), entity, row)
    names = guards or tuple(field.name for field in entity.fields)
    return RowVersion.of(sha256_hex({name: row[name] for name in names}), entity, row)


@dataclass(frozen=True, slots=True)
class Event:
    """One change of one entity row, as a handler receives it.

    `entity` is `system.entity`; `op` one of create, update, delete, read; `key` the key fields
    by name; `before`/`after` rows or None; `id` the CloudEvents id; `position` comparable text;
    `transaction` the source's, as decimal text the number that a read's `Visibility.contains` takes
    where reads of the system report what they contain (None: unknown, or a row of a snapshot);
    `offset` and `partition` its location in its topic; `caused_by` the id of the command that
    caused the change; `replayed` whether an operator replayed it.
    """

    entity: str
    op: str
    key: Mapping[str, Any]
    before: Any
    after: Any
    unavailable: tuple[str, ...]
    position: str
    transaction: str | None
    occurred_at: datetime | None
    captured_at: datetime
    id: str
    type: Entity
    topic: str = ""
    partition: int = 0
    offset: int = -1
    caused_by: str | None = None
    traceparent: str | None = None
    replayed: bool = False

    @property
    def version(self) -> RowVersion:
        """The version of `after` (of `before` for a delete), computed at each access."""
        return row_version(self.type, self.after if self.after is not None else self.before)
