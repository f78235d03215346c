"""Values as URL literals and as JSON. Pure; nothing is percent-encoded here.

Both take what a row holds, and its text, as resumed snapshots and commands have it.
"""

from __future__ import annotations

import base64
import math
from datetime import UTC, date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from bridge.model.errors import Rejected
from connectors.http.json_values import decimal_of
from connectors.odata.metadata.field_types import INTEGER_TYPES
from connectors.odata.metadata.model import Property, Version
from connectors.odata.protocol.timestamps import (
    finer_instant,
    instant,
    is_finer,
    iso_text,
    local_timestamp,
    time_of_day,
    v2_duration,
    v2_ticks,
)

_SUFFIX = {"Edm.Int64": "L", "Edm.Decimal": "M", "Edm.Double": "d", "Edm.Single": "f"}
_TEXTS = frozenset({"Edm.String", "Edm.Duration"})


class FineInstant(str):
    """The text of an instant in UTC with more digits than a datetime has."""

    __slots__ = ()


def literal(p: Property, version: Version, value: Any) -> str:
    """The URL literal, not percent-encoded. Raises Rejected (`bad_key`) for what can't be one."""
    if value is None:
        return "null"
    exact = _exact(p, value)
    return _literal_v2(p, exact) if version == "v2" else _literal_v4(p, exact)


def payload(p: Property, version: Version, value: Any) -> Any:
    """The JSON value. Decimals and 64-bit integers are texts: V4 needs the content type's
    parameter `IEEE754Compatible=true`. Raises Rejected (`bad_value`) for what can't be one.
    """
    if value is None:
        return None
    try:
        exact = _exact(p, value)
        return _payload_v2(p, exact) if version == "v2" else _payload_v4(p, exact)
    except Rejected as error:
        raise Rejected("bad_value", str(error)) from None
    except ValueError as error:
        raise Rejected("bad_value", f"property {p.name!r}: {error}") from None


def is_value_of(p: Property, value: Any) -> bool:
    """Whether the value is one of the property's type, or the text of one; null isn't."""
    return _typed_or_none(p, value) is not None


def _exact(p: Property, value: Any) -> Any:
    """The one Python object of the property's type: text is read, wrong types are refused."""
    exact = _typed_or_none(p, value)
    if exact is None:
        raise Rejected("bad_key", f"property {p.name!r}: a value that is no {p.enum or p.edm}")
    return exact


def _typed_or_none(p: Property, value: Any) -> Any:
    try:
        return _typed(p, value)
    except (ValueError, LookupError, ArithmeticError, TypeError, AttributeError):
        return None


def _typed(p: Property, value: Any) -> Any:
    if p.edm in _TEXTS:
        return value if isinstance(value, str) else None
    if p.edm == "Edm.Boolean":
        words = {"true": True, "false": False}
        return value if isinstance(value, bool) else words[str(value).lower()]
    if p.edm in INTEGER_TYPES:
        number = decimal_of(str(value).strip())
        return int(number) if not isinstance(value, bool) and number == int(number) else None
    if p.edm == "Edm.Decimal":
        return None if isinstance(value, bool) else decimal_of(str(value).strip())
    if p.edm in {"Edm.Double", "Edm.Single"}:
        return None if isinstance(value, bool) else float(value)
    if p.edm == "Edm.Guid":
        return str(UUID(str(value)))
    if p.edm == "Edm.Binary":
        return bytes(value) if isinstance(value, (bytes, bytearray, memoryview)) else None
    return _moment(p, value)


def _moment(p: Property, value: Any) -> Any:
    if p.edm in {"Edm.Time", "Edm.TimeOfDay"}:
        return value if isinstance(value, time) else time_of_day(value)
    if p.edm == "Edm.Date":
        return _day(value)
    if p.edm == "Edm.DateTime":
        if isinstance(value, datetime):
            return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
        if isinstance(value, date):
            return datetime.combine(value, time())
        return local_timestamp(value)
    if p.edm == "Edm.DateTimeOffset":
        if isinstance(value, datetime):
            return value.astimezone(UTC) if value.tzinfo else None
        return FineInstant(finer_instant(value)) if is_finer(value) else instant(value)
    return None


def _day(value: Any) -> date | None:
    if isinstance(value, datetime):
        return None
    return value if isinstance(value, date) else date.fromisoformat(value)


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _floating(number: float) -> str:
    if math.isfinite(number):
        return repr(number)
    return "NaN" if math.isnan(number) else ("INF" if number > 0 else "-INF")


def _number(p: Property, exact: Any) -> str:
    if isinstance(exact, float):
        return _floating(exact)
    if isinstance(exact, Decimal) and not exact.is_finite():
        raise Rejected("bad_key", f"property {p.name!r}: a decimal that is no number")
    return format(exact, "f") if isinstance(exact, Decimal) else str(exact)


def _literal_v4(p: Property, exact: Any) -> str:
    if p.enum:
        return p.enum + _quoted(exact)
    if isinstance(exact, bool):
        return "true" if exact else "false"
    if p.edm == "Edm.Guid":
        return str(exact)
    if isinstance(exact, FineInstant):
        return str(exact)
    if isinstance(exact, str):
        return ("duration" if p.edm == "Edm.Duration" else "") + _quoted(exact)
    if isinstance(exact, bytes):
        return f"binary'{base64.urlsafe_b64encode(exact).decode()}'"
    if isinstance(exact, datetime):
        return iso_text(exact) + "Z"
    if isinstance(exact, date):
        return exact.isoformat()
    if isinstance(exact, time):
        return iso_text(exact)
    return _number(p, exact)


def _literal_v2(p: Property, exact: Any) -> str:
    if isinstance(exact, bool):
        return "true" if exact else "false"
    if p.edm == "Edm.Guid":
        return f"guid'{exact}'"
    if isinstance(exact, FineInstant):
        return f"datetimeoffset'{exact}'"
    if isinstance(exact, str):
        return _quoted(exact)
    if isinstance(exact, bytes):
        return f"X'{exact.hex().upper()}'"
    if isinstance(exact, datetime):
        if p.edm == "Edm.DateTimeOffset":
            return f"datetimeoffset'{iso_text(exact)}Z'"
        return f"datetime'{iso_text(exact)}'"
    if isinstance(exact, date):
        return exact.isoformat()
    if isinstance(exact, time):
        return f"time'{v2_duration(exact)}'"
    text = _number(p, exact)
    return (
        text
        if isinstance(exact, float) and not math.isfinite(exact)
        else (text + _SUFFIX.get(p.edm, ""))
    )


def _payload_v4(p: Property, exact: Any) -> Any:
    if isinstance(exact, bool) or (isinstance(exact, int) and p.edm != "Edm.Int64"):
        return exact
    if isinstance(exact, float):
        return exact if math.isfinite(exact) else _floating(exact)
    if isinstance(exact, bytes):
        return base64.urlsafe_b64encode(exact).decode()
    if isinstance(exact, datetime):
        return iso_text(exact) + "Z"
    if isinstance(exact, date):
        return exact.isoformat()
    if isinstance(exact, time):
        return iso_text(exact)
    return str(exact) if isinstance(exact, str) else _number(p, exact)


def _payload_v2(p: Property, exact: Any) -> Any:
    if isinstance(exact, FineInstant):
        raise ValueError("finer than milliseconds, which V2's JSON can't hold")  # noqa: TRY004
    if isinstance(exact, (bool, str)):
        return exact
    if isinstance(exact, int) and p.edm != "Edm.Int64":
        return exact
    if isinstance(exact, bytes):
        return base64.b64encode(exact).decode()
    if isinstance(exact, datetime):
        return v2_ticks(exact)
    if isinstance(exact, date):
        return exact.isoformat()
    if isinstance(exact, time):
        return v2_duration(exact)
    return _number(p, exact)
