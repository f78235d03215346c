"""What can go wrong, named by what the caller should do about it.

Every message names the thing, the place and the recovery option. No message holds a secret: each is redacted
as it is made.
"""

from __future__ import annotations

from typing import Final

from bridge.model.redaction import redact

MAX_RETRY_AFTER_S: Final = 86_400.0
"""A system that wants to be left alone for longer is asked once a day all the same, or a slip of its
pen would stop everything for good.
"""


class BridgeError(Exception):
    """The root of every error that the bridge raises on purpose."""

    def __init__(self, message: str = "") -> None:
        super().__init__(*((redact(message),) if message else ()))


class ConfigurationError(BridgeError):
    """Fix the configuration (or the legacy system's set-up), then start again."""


class LoginRefused(ConfigurationError):
    """The other side refuses the user or the secret: each further try may lock the account."""


class RetryLater(BridgeError):
    """Nothing is wrong with the request: the other side is away or busy. Try again.

    `after`: in how many seconds at the earliest, where the other side said so (`Retry-After`); at
    most `MAX_RETRY_AFTER_S`. `system`: which system it was that is away, where a read says so.
    """

    def __init__(self, message: str = "", *, after: float | None = None) -> None:
        super().__init__(message)
        # Written so that what is no number at all becomes none.
        self.after = min(after, MAX_RETRY_AFTER_S) if after is not None and after >= 0 else None
        self.system = ""


class Unsupported(BridgeError):
    """The connector does not declare this capability; asking again won't help."""


UNAVAILABLE: Final = "unavailable"
"""Code of a Rejected about an entity that doesn't fit its table (any more): a person fixes it."""


class Rejected(BridgeError):
    """The request itself is bad and was not carried out; `code` says why in one word."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class MissingRight(Rejected):
    """The login is missing a right, perhaps for all requests of this kind: it wasn't carried out, and may be
    tried again once a person has given the right. `code` is what it fails with where only this one
    request is refused.
    """


class OutcomeUnknown(BridgeError):
    """It may or may not have happened. Reconcile; never blindly repeat."""


class Fenced(BridgeError):
    """Another instance took over. Stop writing and end."""


class RowError(BridgeError):
    """One row can't be normalised. It belongs in the dead-letter topic; continue with the next.

    `column` is the source's column, `field` the entity's field and `step` the plan step that
    refused (any may be empty); `reason` never holds the value of a masked column.
    """

    def __init__(self, reason: str, *, column: str = "", field: str = "", step: str = "") -> None:
        origin = ", ".join(
            f"{label} {name!r}"
            for label, name in (("column", column), ("field", field), ("step", step))
            if name
        )
        super().__init__(f"{origin}: {reason}" if origin else reason)
        self.reason = redact(reason)
        self.column = column
        self.field = field
        self.step = step


class HistoryLost(BridgeError):
    """The source can no longer tell every change since the checkpoint.

    Never skipped and never fixed silently: the message gives both positions and the recovery options.
    """
