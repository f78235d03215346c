"""The one error of all conversions of values to a field's type."""

from __future__ import annotations

from typing import Any

MAX_VALUE_CHARACTERS = 60


class ConversionError(ValueError):
    """A value can't be converted, exactly, to the type that is declared.

    reason: what is wrong, without the value if it may come from a masked column
    value: added to the reason by `describe`; None: nothing
    """

    def __init__(self, reason: str, value: Any = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.value = value

    def describe(self, *, masked: bool) -> str:
        """The reason, with the beginning of the value unless `masked`."""
        if masked or self.value is None:
            return self.reason
        text = safe_repr(self.value)
        if len(text) > MAX_VALUE_CHARACTERS:
            text = text[:MAX_VALUE_CHARACTERS] + "..."
        return f"{self.reason}: {text}"


def wrong_type(type_name: str, value: Any) -> ConversionError:
    """The error for a value of a Python type that never becomes one of `type_name`."""
    return ConversionError(f"a {type(value).__name__} that doesn't fit {type_name}", value)


def safe_repr(value: Any) -> str:
    """The value's `repr`, or its type if that fails (too deep, too many digits)."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - a report of a bad value must not fail because of it
        return f"<{type(value).__name__}>"
