"""Edm types: the field type of a property, and the families that the rest of the connector asks about.
Pure.

| Edm | field type | value in a row |
|---|---|---|
| Boolean | boolean | bool |
| Byte, SByte, Int16, Int32, Int64 | integer | int (V2 and IEEE754Compatible write Int64 as text) |
| Decimal with precision and scale | decimal(p,s) | Decimal |
| Decimal without precision, or of variable or floating scale | string | Decimal: the exact text |
| Single, Double | float, double | float |
| String, enumerations | string | str |
| Guid | uuid | str |
| Binary | bytes | bytes |
| Date; DateTime that `sap:display-format` calls a Date | date | date |
| DateTimeOffset | timestamp | datetime in UTC; str with all digits where it is finer than microseconds |
| DateTime (V2) | local_timestamp | datetime without zone |
| TimeOfDay, Time (V2) | time | time |
| Duration | string | str, as the service writes it |
"""

from __future__ import annotations

from typing import Final

from bridge.model.types import MAX_PRECISION, FieldType
from connectors.odata.metadata.model import Property, Version

TIMESTAMP_TYPES: Final = frozenset({"Edm.DateTimeOffset", "Edm.DateTime"})
TIME_TYPES: Final = TIMESTAMP_TYPES | {"Edm.TimeOfDay", "Edm.Time"}
INTEGER_TYPES: Final = frozenset({"Edm.Byte", "Edm.SByte", "Edm.Int16", "Edm.Int32", "Edm.Int64"})
_FIELD_TYPES: Final = {
    "Edm.Boolean": "boolean",
    "Edm.Byte": "integer",
    "Edm.SByte": "integer",
    "Edm.Int16": "integer",
    "Edm.Int32": "integer",
    "Edm.Int64": "integer",
    "Edm.Single": "float",
    "Edm.Double": "double",
    "Edm.String": "string",
    "Edm.Guid": "uuid",
    "Edm.Binary": "bytes",
    "Edm.Date": "date",
    "Edm.DateTimeOffset": "timestamp",
    "Edm.DateTime": "local_timestamp",
    "Edm.TimeOfDay": "time",
    "Edm.Time": "time",
    "Edm.Duration": "string",
}


def field_type(p: Property, version: Version) -> FieldType | None:
    """The field type of a property; None if the log has none for it."""
    if p.collection:
        return None
    if p.edm == "Edm.Decimal":
        return _decimal_type(p, version)
    if p.date_only:
        return FieldType("date")
    name = _FIELD_TYPES.get(p.edm)
    return FieldType(name) if name else None


def drafted_type(p: Property, version: Version, *, finer: bool = False) -> FieldType | None:
    """The field type that a draft declares: one for every value that the service may write. `finer`: rows
    have more digits of a second than microseconds.
    """
    scaleless = p.edm == "Edm.Decimal" and p.scale is None
    if not p.collection and (finer or scaleless):
        return FieldType("string")
    return field_type(p, version)


def _decimal_type(p: Property, version: Version) -> FieldType:
    # In V4 a missing scale is 0; V2 services leave it out if there is none.
    scale = 0 if p.scale is None and version == "v4" else p.scale
    if p.precision and scale is not None and 0 <= scale <= p.precision <= MAX_PRECISION:
        return FieldType("decimal", p.precision, scale)
    return FieldType("string")
