"""Which tables, columns and indexes the file of a view has. Pure.

A row is kept as the log holds it, framed Avro, under the bytes of its key. Beside it there is a column
for each field that a declared relation looks rows up by, with the field's Avro bytes, so that equal
bytes are equal values. Only fields whose equality at the source is that of these bytes get one.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from bridge.model.avro import key_schema, type_schema
from bridge.model.errors import ConfigurationError
from bridge.model.types import Entity, FieldType

FORM_VERSION = 1
"""Of everything in the file: a file of another version is built again."""
COLUMNS_BEFORE_INDEXES = 4
"""key, position, row, crc."""


@dataclass(frozen=True, slots=True)
class TableForm:
    """The table of one entity.

    entity: its bare name.
    indexed: the fields that have a column, in the order of the columns.
    types: theirs, aligned.
    indexes: the combinations of fields, each sorted, by which rows are looked up.
    exact_key: whether a key that isn't in the table means that the source has no such row.
    """

    entity: str
    indexed: tuple[str, ...]
    types: tuple[FieldType, ...]
    indexes: tuple[tuple[str, ...], ...]
    exact_key: bool

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns, in order."""
        return ("key", "position", "row", "crc", *(f'"f_{name}"' for name in self.indexed))

    @property
    def table(self) -> str:
        """The table's name, quoted."""
        return f'"rows_{self.entity}"'

    def create_sql(self) -> str:
        """The table, and the index of rows that aren't known, which is nearly always empty."""
        indexed = "".join(f', "f_{name}" BLOB' for name in self.indexed)
        return (
            f"CREATE TABLE {self.table} (key BLOB PRIMARY KEY, position BLOB NOT NULL, "
            f"row BLOB NOT NULL, crc INTEGER NOT NULL{indexed}) WITHOUT ROWID;"
            f"CREATE INDEX \"unknown_{self.entity}\" ON {self.table}(key) WHERE row = x'';"
        )

    def index_sql(self) -> tuple[str, ...]:
        """The indexes, which are made once the rows are in."""
        return tuple(
            f'CREATE INDEX "by_{self.entity}_{number}" ON {self.table}('
            + ", ".join(f'"f_{name}"' for name in fields)
            + ")"
            for number, fields in enumerate(self.indexes)
        )


def table_forms(
    entities: Mapping[str, Entity], exact_fields: Mapping[str, Collection[str]]
) -> dict[str, TableForm]:
    """The tables of these entities, by bare name.

    entities: those that the view holds.
    exact_fields: by bare name, the fields whose equality at the source is that of their bytes.
    """
    looked_up: dict[str, set[tuple[str, ...]]] = {name: set() for name in entities}
    for entity in entities.values():
        for relation in entity.relations:
            other = entities.get(relation.entity)
            if other is None:
                continue
            try:
                _, targets = relation.ends(entity.key, other.key)
            except ConfigurationError:
                continue  # a read of this relation says so
            has_all = {field.name for field in other.fields}.issuperset(targets)
            is_exact = set(exact_fields.get(other.name, ())).issuperset(targets)
            if has_all and is_exact and sorted(targets) != sorted(other.key):
                looked_up[other.name].add(tuple(sorted(targets)))
    return {
        name: _table_form(entity, looked_up[name], exact_fields.get(name, ()))
        for name, entity in entities.items()
    }


def _table_form(
    entity: Entity, looked_up: Collection[tuple[str, ...]], exact: Collection[str]
) -> TableForm:
    indexed = tuple(sorted({field for fields in looked_up for field in fields}))
    return TableForm(
        entity=entity.name,
        indexed=indexed,
        types=tuple(entity.field(name).type for name in indexed),
        indexes=tuple(sorted(looked_up)),
        exact_key=set(exact).issuperset(entity.key),
    )


def binding(
    bridge: str,
    log: str,
    topics: Mapping[str, str],
    entities: Mapping[str, Entity],
    forms: Mapping[str, TableForm],
) -> dict[str, Any]:
    """What a file belongs to, as JSON: one that is bound to anything else is built again.

    bridge, log: names; topics: by bare entity name.
    """
    return {
        "version": FORM_VERSION,
        "bridge": bridge,
        "log": log,
        "entities": {
            name: {
                "entity": entity.qualified,
                "topic": topics[name],
                "key": key_schema(entity)["fields"],
                "indexed": [
                    [field, type_schema(field_type)]
                    for field, field_type in zip(
                        forms[name].indexed, forms[name].types, strict=True
                    )
                ],
                "indexes": [list(fields) for fields in forms[name].indexes],
            }
            for name, entity in sorted(entities.items())
        },
    }
