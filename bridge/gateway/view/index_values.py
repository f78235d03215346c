"""Values that rows are looked up by, as bytes that are equal exactly if the values are. Pure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from bridge.model.conversion_error import ConversionError
from bridge.model.types import FieldType
from bridge.plan.avro_encoder import encoder
from bridge.plan.coerce import coercer

EXACT_TYPES: Final = frozenset(
    {"boolean", "integer", "decimal", "date", "time", "timestamp", "local_timestamp", "uuid"}
)
"""Types with one Avro form for each value, whatever the source's form was. Floats have two zeros and
values that are no numbers; texts depend on the column (see `exact_fields`).
"""


class NoIndexValue(Exception):
    """The value can't be one of the field, so that only the source can say what equals it."""


def index_encoder(field_type: FieldType) -> Callable[[Any], bytes]:
    """What turns a value (not None) into bytes; it raises NoIndexValue."""
    fit, encode = coercer(field_type), encoder(field_type)

    def index_value(value: Any) -> bytes:
        try:
            return encode(fit(value))
        except ConversionError as error:
            raise NoIndexValue(str(error)) from error

    return index_value
