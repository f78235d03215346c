"""Event bytes to records, lazily: only the fields that somebody looks at are decoded."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, KeysView, Mapping
from datetime import datetime
from typing import Any

from bridge.model.avro import OPS, key_schema
from bridge.model.errors import ConfigurationError
from bridge.model.event import Unavailable
from bridge.model.framing import HEADER_SIZE, schema_id
from bridge.model.types import Entity
from bridge.plan.avro_reader import ReadValue, codes, from_key, instant_of, reader
from bridge.plan.execute import scan, scan_change

_FIELDS = (
    "op",
    "before",
    "after",
    "unavailable",
    "position",
    "transaction",
    "occurred_at",
    "captured_at",
)


class ChangeLayout:
    """The fields of a record as they were written, and those that a reader sees."""

    __slots__ = ("_nullable", "codes", "entity", "names", "readers")

    def __init__(self, fields: list[dict[str, Any]], entity: Entity) -> None:
        self.entity = entity.qualified
        self.codes = b"".join(codes(field["type"]) for field in fields)
        written = {field["name"]: at for at, field in enumerate(fields)}
        readers = [reader(field["type"]) for field in fields]
        #: By field name: index in the written record (-1: not written), and its reader.
        self.readers: dict[str, tuple[int, ReadValue]] = {}
        for field in entity.fields:
            at = written.get(field.name, -1)
            self.readers[field.name] = (at, readers[at] if at >= 0 else _absent)
        self.names = self.readers.keys()
        self._nullable = [isinstance(field["type"], list) for field in fields]

    def row_bytes(self, data: bytes, offsets: list[int]) -> bytes:
        """The bytes of a row whose fields begin at these offsets of `data`."""
        first = next(index for index, at in enumerate(offsets) if at >= 0)
        # Every field before it is null, which is one byte, as is the branch of a field that may be null.
        start = offsets[first] - first - self._nullable[first]
        return data[start : scan(data, start, self.codes, [])]

    def offsets(self, data: bytes) -> list[int]:
        """Where each field of an unframed row begins; -1: null. Raises ValueError."""
        offsets: list[int] = []
        scan(data, 0, self.codes, offsets)
        return offsets


def _absent(_: bytes, __: int) -> None:
    return None


class LazyRow:
    """One row of an entity over its Avro bytes: `row.total`, `row["total"]`, `dict(row)`.

    Fields that the writer's schema didn't have are None. Reading one that the source did not
    send raises Unavailable. Rows are equal when all their fields are.

    offsets: where each field begins in `data`; None: looked for when the first field is read.
    """

    __slots__ = ("_away", "_data", "_layout", "_offsets")

    def __init__(
        self,
        layout: ChangeLayout,
        data: bytes,
        offsets: list[int] | None,
        away: tuple[str, ...] = (),
    ) -> None:
        self._layout = layout
        self._data = data
        self._offsets = offsets
        self._away = away

    def __getitem__(self, name: str) -> Any:
        read_field = self._layout.readers.get(name)
        if read_field is None:
            raise KeyError(f"{self._layout.entity} has no field {name!r}; {self._field_names()}")
        if name in self._away:
            raise Unavailable(
                f"{self._layout.entity}: the source did not send {name!r}: it did not "
                "change, or nobody asked for it; read the row with ctx.get"
            )
        index, read = read_field
        if index < 0:
            return None
        offsets = self._offsets
        if offsets is None:
            offsets = self._offsets = self._layout.offsets(self._data)
        at = offsets[index]
        return None if at < 0 else read(self._data, at)

    def __getattr__(self, name: str) -> Any:
        if name in self._layout.readers:
            return self[name]
        raise AttributeError(f"{self._layout.entity} has no field {name!r}; {self._field_names()}")

    def _field_names(self) -> str:
        return f"it has {', '.join(self._layout.names)}"

    def __iter__(self) -> Iterator[str]:
        return iter(self._layout.names)

    def __len__(self) -> int:
        return len(self._layout.readers)

    def __contains__(self, name: object) -> bool:
        return name in self._layout.readers

    def keys(self) -> KeysView[str]:
        """Names of all fields, in their declared order."""
        return self._layout.names

    def get(self, name: str, default: Any = None) -> Any:
        """The field's value, or `default` for a field that the entity doesn't have."""
        return self[name] if name in self else default  # noqa: SIM401 - this is `get`

    def as_dict(self) -> dict[str, Any]:
        """All fields that were sent, decoded."""
        return {name: self[name] for name in self if name not in self._away}

    def avro_bytes(self) -> bytes:
        """Its Avro bytes alone, unframed: the same for equal rows that were written with one schema."""
        offsets = self._offsets
        return self._data if offsets is None else self._layout.row_bytes(self._data, offsets)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, LazyRow):
            return (
                self.keys() == other.keys()
                and set(self._away) == set(other._away)
                and self.as_dict() == other.as_dict()
            )
        if isinstance(other, Mapping):
            return not self._away and self.as_dict() == other
        return NotImplemented

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        field_texts = ", ".join(
            f"{name}=<unavailable>" if name in self._away else f"{name}={self[name]!r}"
            for name in self
        )
        return f"{self._layout.entity}({field_texts})"

    def __reduce__(self) -> Any:
        raise TypeError("a lazy row can't be pickled; take row.as_dict()")


class LazyChange:
    """One change record: `op`, `before` and `after` as lazy rows or None, `unavailable`,
    `position`, `transaction`; instants are made when asked for.
    """

    __slots__ = (
        "_captured",
        "_occurred",
        "after",
        "before",
        "op",
        "position",
        "transaction",
        "unavailable",
    )

    def __init__(self, layout: ChangeLayout, data: bytes, at: int) -> None:
        op, before, after, away, position, transaction, occurred, captured = scan_change(
            data, at, layout.codes
        )
        self.op: str = OPS[op] if 0 <= op < len(OPS) else OPS[0]
        self.unavailable: tuple[str, ...] = away
        self.position: str = position
        self.transaction: str | None = transaction
        self._occurred: int | None = occurred
        self._captured: int = captured
        self.before: LazyRow | None = None if before is None else LazyRow(layout, data, before)
        self.after: LazyRow | None = None if after is None else LazyRow(layout, data, after, away)

    @property
    def captured_us(self) -> int:
        """When capture read it, in microseconds since 1970 UTC."""
        return self._captured

    @property
    def occurred_us(self) -> int | None:
        """When it was committed at the source, in microseconds since 1970 UTC; None: not reported."""
        return self._occurred

    @property
    def occurred_at(self) -> datetime | None:
        """When it was committed at the source; None where the source doesn't say."""
        return None if self._occurred is None else instant_of(self._occurred)

    @property
    def captured_at(self) -> datetime:
        """When capture read it."""
        return instant_of(self._captured)


class Decoder:
    """Decodes what one writer's schema wrote, for readers that know `entity`.

    `schema_text` is the text of a Change schema as the registry has it. Raises
    ConfigurationError when it isn't one.
    """

    def __init__(self, schema_text: str, entity: Entity) -> None:
        self.entity = entity
        schema = json.loads(schema_text)
        fields = schema.get("fields", []) if isinstance(schema, dict) else []
        if tuple(field["name"] for field in fields) != _FIELDS:
            raise ConfigurationError(
                f"{entity.qualified}: its topic holds records of another schema than a change's; "
                "was the topic written by another program?"
            )
        self._layout = ChangeLayout(fields[1]["type"][1]["fields"], entity)
        key = key_schema(entity)["fields"]
        self._key_codes = b"".join(codes(field["type"]) for field in key)
        self._key = [
            (field["name"], reader(field["type"]), entity.field(field["name"]).type)
            for field in key
        ]

    def change(self, value: bytes) -> LazyChange:
        """The change of a record's value, framed as in the log. Raises ValueError."""
        schema_id(value)
        return LazyChange(self._layout, value, HEADER_SIZE)

    def row(self, data: bytes) -> LazyRow:
        """The row of unframed Avro bytes (`RowEncoder.row`). Raises ValueError."""
        return LazyRow(self._layout, data, self._layout.offsets(data))

    def encoded_rows(self, encoded: Iterable[bytes]) -> list[LazyRow]:
        """As `row`, of bytes that a RowEncoder of the same entity made: nobody needs to check them."""
        layout = self._layout
        return [LazyRow(layout, data, None) for data in encoded]

    def partial_row(self, data: bytes, away: tuple[str, ...]) -> LazyRow:
        """As `encoded_rows`, of one row without the fields `away`: reading them raises Unavailable."""
        return LazyRow(self._layout, data, None, away)

    def key(self, key: bytes) -> dict[str, Any]:
        """The key fields of a record's key, framed as in the log, as the fields' own values."""
        schema_id(key)
        offsets: list[int] = []
        scan(key, HEADER_SIZE, self._key_codes, offsets)
        return {
            name: from_key(read(key, at), kind)
            for (name, read, kind), at in zip(self._key, offsets, strict=True)
        }
