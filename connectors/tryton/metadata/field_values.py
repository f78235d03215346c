"""Values of fields, from Tryton's form to the row's and back. Pure."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from connectors.tryton.metadata.model import ModelField

_INTEGERS = frozenset({"many2one", "one2one", "integer", "biginteger"})


def decoder_of(field: ModelField) -> Callable[[Any], Any] | None:
    """Converts a read value to the row's; None: no conversion is needed."""
    if field.tryton_type in {"datetime", "timestamp"}:
        return _in_utc
    if field.tryton_type == "timedelta":
        return _seconds
    if field.tryton_type == "numeric" and field.type.name == "string":
        return _number_text
    return _json_text if field.tryton_type == "dict" else None


def to_tryton(field: ModelField, value: Any) -> Any:
    """A row's value in Tryton's form, for conditions and writes. Raises ValueError or ArithmeticError for
    an invalid value.
    """
    if value is None:
        return None
    if field.tryton_type == "timedelta":
        return timedelta(seconds=float(value))
    if field.tryton_type == "numeric":
        return Decimal(str(value))
    if field.tryton_type == "float":
        return float(value)
    if field.tryton_type == "dict" and isinstance(value, str):
        return json.loads(value)
    if field.tryton_type in _INTEGERS and isinstance(value, str):
        return int(value)
    return value


def _in_utc(value: Any) -> Any:
    # Tryton keeps every timestamp in UTC, without saying so.
    return value.replace(tzinfo=UTC) if isinstance(value, datetime) else value


def _seconds(value: Any) -> Any:
    return value.total_seconds() if isinstance(value, timedelta) else value


def _number_text(value: Any) -> Any:
    return format(value, "f") if isinstance(value, Decimal) else value


def _json_text(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    plain = {name: str(item) if isinstance(item, Decimal) else item for name, item in value.items()}
    return json.dumps(plain, ensure_ascii=False, sort_keys=True, default=str)
