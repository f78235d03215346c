"""Entity types as Avro schemas.

Schemas are plain dicts in the Avro 1.11 JSON form; the text that is registered is
`schema_text(...)`, whose bytes are the same for the same entity on every machine.
"""

from __future__ import annotations

import json
from typing import Any

from bridge.model.types import Entity, Field, FieldType

Schema = dict[str, Any]

OPS = ("unknown", "create", "update", "delete", "read")

_LOGICAL: dict[str, Schema] = {
    "date": {"type": "int", "logicalType": "date"},
    "time": {"type": "long", "logicalType": "time-micros"},
    "timestamp": {"type": "long", "logicalType": "timestamp-micros"},
    "local_timestamp": {"type": "long", "logicalType": "local-timestamp-micros"},
    "uuid": {"type": "string", "logicalType": "uuid"},
    "json": {"type": "string", "logicalType": "json"},
}
_PRIMITIVE = {
    "boolean": "boolean",
    "integer": "long",
    "float": "float",
    "double": "double",
    "string": "string",
    "bytes": "bytes",
}


def type_schema(field_type: FieldType) -> str | Schema:
    """The Avro schema of one field type (not nullable)."""
    if field_type.name in _PRIMITIVE:
        return _PRIMITIVE[field_type.name]
    if field_type.name == "decimal":
        return {
            "type": "bytes",
            "logicalType": "decimal",
            "precision": field_type.precision,
            "scale": field_type.scale,
        }
    if field_type.name == "array":
        assert field_type.item is not None, "an array type always has an item type"  # noqa: S101
        return {"type": "array", "items": ["null", type_schema(field_type.item)]}
    return dict(_LOGICAL[field_type.name])


def key_type_schema(field_type: FieldType) -> str:
    """The Avro type of a key field: canonical, so that key bytes never change."""
    return {"integer": "long", "boolean": "boolean"}.get(field_type.name, "string")


def key_schema(entity: Entity) -> Schema:
    """`{system}.{entity}.Key`: the key fields in declared key order."""
    return {
        "type": "record",
        "name": "Key",
        "namespace": entity.qualified,
        "fields": [
            {"name": name, "type": key_type_schema(entity.field(name).type)} for name in entity.key
        ],
    }


def row_schema(entity: Entity) -> Schema:
    """`{system}.{entity}.Row`: key fields plain, every other field nullable with default null."""
    fields: list[Schema] = []
    for field in entity.fields:
        kind = type_schema(field.type)
        if field.name in entity.key:
            fields.append({"name": field.name, "type": kind})
        else:
            fields.append({"name": field.name, "type": ["null", kind], "default": None})
    return {"type": "record", "name": "Row", "namespace": entity.qualified, "fields": fields}


def change_schema(entity: Entity) -> Schema:
    """`{system}.{entity}.Change`: the value of every record of a change topic."""
    instant = {"type": "long", "logicalType": "timestamp-micros"}
    return {
        "type": "record",
        "name": "Change",
        "namespace": entity.qualified,
        "fields": [
            {
                "name": "op",
                "type": {
                    "type": "enum",
                    "name": "Op",
                    "symbols": list(OPS),
                    "default": "unknown",
                },
            },
            {"name": "before", "type": ["null", row_schema(entity)], "default": None},
            {"name": "after", "type": ["null", "Row"], "default": None},
            {"name": "unavailable", "type": {"type": "array", "items": "string"}, "default": []},
            {"name": "position", "type": "string"},
            {"name": "transaction", "type": ["null", "string"], "default": None},
            {"name": "occurred_at", "type": ["null", instant], "default": None},
            {"name": "captured_at", "type": instant},
        ],
    }


def schema_text(schema: Schema) -> str:
    """The text of a schema: keys in the order of the dict, no blanks."""
    return json.dumps(schema, separators=(",", ":"), ensure_ascii=False)


def field_type(schema: Any) -> FieldType:
    """The field type that an Avro schema stands for: `type_schema` the other way round.

    Raises ValueError for a schema that `type_schema` doesn't make.
    """
    if isinstance(schema, str):
        for kind, name in _PRIMITIVE.items():
            if name == schema:
                return FieldType(kind)
    elif isinstance(schema, dict):
        logical = schema.get("logicalType")
        if logical == "decimal":
            return FieldType("decimal", schema["precision"], schema.get("scale", 0))
        for kind, avro_type in _LOGICAL.items():
            if logical == avro_type["logicalType"] and schema["type"] == avro_type["type"]:
                return FieldType(kind)
        if schema.get("type") == "array":
            return FieldType("array", item=field_type(_not_null(schema["items"])))
    raise ValueError(f"no field type is written as {schema!r}")


def entity_of(schema: Schema) -> Entity:
    """The entity whose `change_schema` this is; without relations, which no schema holds.

    Its key is in the order of the row's fields. Raises ValueError for any other schema.
    """
    namespace = str(schema.get("namespace", ""))
    name = str(schema.get("name", ""))
    if "." in name:
        namespace, _, name = name.rpartition(".")
    system, _, entity = namespace.partition(".")
    parts = {field["name"]: field["type"] for field in schema.get("fields", ())}
    if name != "Change" or not entity or "before" not in parts:
        raise ValueError(f"{namespace}.{name} is not the schema of a change")
    row = _not_null(parts["before"])
    key, fields = [], []
    for field in row["fields"]:
        plain = not isinstance(field["type"], list)
        if plain:
            key.append(field["name"])
        kind = field["type"] if plain else _not_null(field["type"])
        fields.append(Field(field["name"], field_type(kind)))
    return Entity(system, entity, tuple(key), tuple(fields))


def _not_null(union: Any) -> Any:
    kinds = [kind for kind in union if kind != "null"] if isinstance(union, list) else [union]
    if len(kinds) != 1:
        raise ValueError(f"{union!r} is not a nullable type")
    return kinds[0]
