"""Why a value can't be normalised: a reason that may be told, and a value that may not."""

from __future__ import annotations

from typing import Any

SHOWN = 60


class Refusal(ValueError):
    """`reason` never holds the value; `value` is added to it where the column isn't masked."""

    def __init__(self, reason: str, value: Any = None) -> None:
        super().__init__(reason)
        self.reason = reason
        self.value = value

    def told(self, *, masked: bool) -> str:
        """The reason, with the value's beginning unless `masked`."""
        if masked or self.value is None:
            return self.reason
        text = shown(self.value)
        return f"{self.reason}: {text if len(text) <= SHOWN else text[:SHOWN] + '...'}"


def unfit(kind: str, value: Any) -> Refusal:
    """A value of a Python type that never fits `kind`."""
    return Refusal(f"a {type(value).__name__} that doesn't fit {kind}", value)


def shown(value: Any) -> str:
    """Its `repr`; what has none (too deep, too many digits, an object's own error) is its type."""
    try:
        return repr(value)
    except Exception:  # noqa: BLE001 - whoever tells of a bad value must not fail for it
        return f"<{type(value).__name__}>"
