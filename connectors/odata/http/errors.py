"""Answers that break off or are too large: which of the bridge's errors that is. Pure."""

from __future__ import annotations

from bridge.model.errors import BridgeError, ConfigurationError, OutcomeUnknown, RetryLater
from connectors.http.errors import AnswerTooLarge


def broken_response(where: str, *, writes: bool) -> BridgeError:
    """The error for an answer that breaks off, or is not what it says."""
    if writes:
        return OutcomeUnknown(f"{where}: the answer breaks off; whether it was done is unknown")
    return RetryLater(f"{where}: the answer breaks off or is no JSON")


def oversized_response(where: str, error: AnswerTooLarge, *, writes: bool) -> BridgeError:
    """The error for an answer that nobody could keep."""
    size = f"the answer has {error}"
    if writes:
        return OutcomeUnknown(f"{where}: {size}; whether it was done is unknown")
    return ConfigurationError(
        f"{where}: {size}: the service gives all rows at once, or very large ones; let it page, or "
        "ask for fewer (`page`, `max_batch_requests`, `max_keys_per_read` under `capture:`)"
    )
