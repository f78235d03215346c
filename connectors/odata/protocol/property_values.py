"""Property values of JSON as row values, by Edm type (`connectors.odata.metadata.field_types` lists
them). Pure.

Fractional numbers of JSON must have been parsed to Decimal (`parse_float=Decimal`), or digits are
lost. A value of another type is returned unchanged: its plan then refuses the row with a reason.
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

from bridge.plan.steps import MISSING
from connectors.http.json_values import decimal_of
from connectors.odata.metadata.field_types import INTEGER_TYPES
from connectors.odata.metadata.model import Property, Version
from connectors.odata.protocol.timestamps import (
    finer_instant,
    instant,
    is_finer,
    local_timestamp,
    time_of_day,
)

_FLOATS = {"INF": float("inf"), "-INF": float("-inf"), "NaN": float("nan")}
_WHOLE = re.compile(r"[+-]?\d+")


def row_value(p: Property, version: Version, json: Any) -> Any:  # noqa: ARG001 - both forms are read
    """The row value of a JSON value. Never raises."""
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
    number = float(json)
    # Beyond a double: its plan refuses the value, rather than reading it as infinite, or as zero.
    return json if math.isinf(number) or (not number and not _is_zero(str(json))) else number


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
    timestamp = local_timestamp(json) if isinstance(json, str) else json
    if p.date_only and isinstance(timestamp, datetime) and timestamp.time() == time():
        return timestamp.date()
    return timestamp


def _time(_: Property, json: Any) -> Any:
    return time_of_day(json) if isinstance(json, str) else json


_READ: dict[str, Callable[[Property, Any], Any]] = {
    **dict.fromkeys(INTEGER_TYPES, _integer),
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
