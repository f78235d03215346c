"""Edm types: the field type of a property, and what its values are in JSON. Pure.

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

Fractional numbers of JSON must have been parsed to Decimal (`parse_float=Decimal`), or digits are
lost. What isn't of its type is handed on as it came: its plan then refuses the row with a reason.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Callable
from datetime import date, datetime, time
from decimal import Decimal, InvalidOperation
from typing import Any

from bridge.model.types import MAX_PRECISION, FieldType
from bridge.plan.steps import MISSING
from connectors.http.json_values import decimal_of
from connectors.odata.metadata.model import Property, Version
from connectors.odata.protocol.literal import literal, payload
from connectors.odata.protocol.timestamps import (
    finer_instant,
    instant,
    is_finer,
    local,
    time_of_day,
)

_SIMPLE = {
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
_INTEGERS = frozenset({"Edm.Byte", "Edm.SByte", "Edm.Int16", "Edm.Int32", "Edm.Int64"})
_FLOATS = {"INF": float("inf"), "-INF": float("-inf"), "NaN": float("nan")}
_WHOLE = re.compile(r"[+-]?\d+")


def field_type(p: Property, version: Version) -> FieldType | None:
    """The field type of a property; None where it is none that the log knows."""
    if p.collection:
        return None
    if p.edm == "Edm.Decimal":
        return _decimal_type(p, version)
    if p.date_only:
        return FieldType("date")
    kind = _SIMPLE.get(p.edm)
    return FieldType(kind) if kind else None


def drafted_type(p: Property, version: Version, *, finer: bool = False) -> FieldType | None:
    """The field type that a draft declares: one that holds whatever the service may write. `finer`: rows
    were seen with more digits of a second than microseconds.
    """
    scaleless = p.edm == "Edm.Decimal" and p.scale is None
    if not p.collection and (finer or scaleless):
        return FieldType("string")
    return field_type(p, version)


def _decimal_type(p: Property, version: Version) -> FieldType:
    # V4 says that a missing scale is 0; V2 services leave it out where they mean none.
    scale = 0 if p.scale is None and version == "v4" else p.scale
    if p.precision and scale is not None and 0 <= scale <= p.precision <= MAX_PRECISION:
        return FieldType("decimal", p.precision, scale)
    return FieldType("string")


def value(p: Property, version: Version, json: Any) -> Any:  # noqa: ARG001 - both forms are read
    """The row value of what stands in JSON. Never raises."""
    if json is None or json is MISSING:
        return json
    try:
        return _READ.get(p.edm, _same)(p, json)
    except (ValueError, OverflowError, InvalidOperation, binascii.Error):
        return json


def _same(_: Property, json: Any) -> Any:
    return json


def _integer(_: Property, json: Any) -> Any:
    if isinstance(json, str) and _WHOLE.fullmatch(json):
        return int(json)
    return json


def _decimal(_: Property, json: Any) -> Any:
    if isinstance(json, (bool, Decimal)):
        return json
    if isinstance(json, float):
        return Decimal(repr(json))
    if isinstance(json, str):
        return decimal_of(json)
    return Decimal(json) if isinstance(json, int) else json


def _float(_: Property, json: Any) -> Any:
    if isinstance(json, str) and json in _FLOATS:
        return _FLOATS[json]
    if isinstance(json, bool) or not isinstance(json, (int, str, Decimal)):
        return json
    found = float(json)
    # Beyond a double: its plan refuses what it is, rather than taking it for infinite, or for zero.
    return json if math.isinf(found) or (not found and not _is_zero(str(json))) else found


def _is_zero(text: str) -> bool:
    digits = text.lower().partition("e")[0]
    return not digits.strip("+-0. ")


def _guid(_: Property, json: Any) -> Any:
    return json.lower() if isinstance(json, str) else json


def _binary(_: Property, json: Any) -> Any:
    if not isinstance(json, str):
        return json
    text = json.replace("-", "+").replace("_", "/").rstrip("=")
    return base64.b64decode(text + "=" * (-len(text) % 4), validate=True)


def _date(_: Property, json: Any) -> Any:
    return date.fromisoformat(json) if isinstance(json, str) else json


def _instant(_: Property, json: Any) -> Any:
    if not isinstance(json, str):
        return json
    return finer_instant(json) if is_finer(json) else instant(json)


def _local(p: Property, json: Any) -> Any:
    found = local(json) if isinstance(json, str) else json
    if p.date_only and isinstance(found, datetime) and found.time() == time():
        return found.date()
    return found


def _time(_: Property, json: Any) -> Any:
    return time_of_day(json) if isinstance(json, str) else json


_READ: dict[str, Callable[[Property, Any], Any]] = {
    **dict.fromkeys(_INTEGERS, _integer),
    "Edm.Decimal": _decimal,
    "Edm.Single": _float,
    "Edm.Double": _float,
    "Edm.Guid": _guid,
    "Edm.Binary": _binary,
    "Edm.Date": _date,
    "Edm.DateTimeOffset": _instant,
    "Edm.DateTime": _local,
    "Edm.TimeOfDay": _time,
    "Edm.Time": _time,
}

__all__ = ["drafted_type", "field_type", "literal", "payload", "value"]
