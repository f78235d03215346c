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
        text = repr(self.value)
        return f"{self.reason}: {text if len(text) <= SHOWN else text[:SHOWN] + '...'}"


def unfit(kind: str, value: Any) -> Refusal:
    """A value of a Python type that never fits `kind`."""
    return Refusal(f"a {type(value).__name__} that doesn't fit {kind}", value)
