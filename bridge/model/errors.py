"""Errors, named by what the caller should do about them.

Every message names the thing, the place and the recovery option. No message contains a secret: each
is redacted when it is created.
"""

from __future__ import annotations

from typing import Final

from bridge.model.redaction import redact

MAX_RETRY_AFTER_S: Final = 86_400.0
"""A system that asks for a longer pause is called once a day nevertheless, because otherwise a
wrong value would stop everything for good.
"""


class BridgeError(Exception):
    """Base of all errors that the bridge raises on purpose."""

    def __init__(self, message: str = "") -> None:
        super().__init__(*((redact(message),) if message else ()))


class ConfigurationError(BridgeError):
    """Fix the configuration (or the legacy system's set-up), then start again."""


class LoginRefused(ConfigurationError):
    """The other side refuses the user or the secret: each further try may lock the account."""


class RetryLater(BridgeError):
    """Nothing is wrong with the request: the other side is unavailable or busy. Try again.

    `after`: earliest retry in seconds, if the other side specified it (`Retry-After`); at most
    `MAX_RETRY_AFTER_S`.
    `system`: the unavailable system, if a read knows it.
    """

    def __init__(self, message: str = "", *, after: float | None = None) -> None:
        super().__init__(message)
        # Written so that NaN becomes None.
        self.after = min(after, MAX_RETRY_AFTER_S) if after is not None and after >= 0 else None
        self.system = ""


class DeadlineExceeded(RetryLater):
    """A read was not answered by the deadline that it was asked with. A later try has all of its time again;
    the message says what took the time.
    """


class SystemBusy(RetryLater):
    """The other side answers, and refuses this request for its load: too many requests or
    connections, a time-out of a lock or of a statement. Send it less at the same time.
    """


class Unsupported(BridgeError):
    """The connector does not declare this capability; retrying won't help."""


UNAVAILABLE: Final = "unavailable"
"""Code of a Rejected for an entity that doesn't match its table (any more): a person fixes it."""


class Rejected(BridgeError):
    """The request itself is invalid and was not executed; `code` says why in one word."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class MissingRight(Rejected):
    """The login is missing a permission, perhaps for all requests of this kind: the request wasn't
    executed, and may be retried once a person has granted the permission. `code`: its code if only
    this request is refused.
    """


class OutcomeUnknown(BridgeError):
    """It may or may not have happened. Reconcile; never blindly repeat."""


class Fenced(BridgeError):
    """Another instance took over. Stop writing and exit."""


class RowError(BridgeError):
    """One row can't be normalised. It belongs in the dead-letter topic; continue with the next.

    `column`: the source's column; `field`: the entity's field; `step`: the plan step that refused
    (any may be empty); `reason`: never contains the value of a masked column.
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
    """The source can no longer provide every change since the checkpoint.

    Never skipped or fixed silently: the message has both positions and the recovery options.
    """
