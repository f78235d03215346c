"""Receipts: the results of commands."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum


class Outcome(StrEnum):
    """How a command ended. `unknown_outcome`: it is in progress, or it is unknown whether it took
    effect; also the Avro default.
    """

    UNKNOWN_OUTCOME = "unknown_outcome"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


class State(StrEnum):
    """The states a command goes through; each transition is an `audit` record."""

    RECEIVED = "received"
    VALIDATED = "validated"
    AWAITING_APPROVAL = "awaiting_approval"
    APPROVED = "approved"
    EXECUTING = "executing"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNKNOWN = "unknown"
    RECONCILING = "reconciling"
    REJECTED = "rejected"
    EXPIRED = "expired"
    CANCELLED = "cancelled"


ENDED_WITHOUT_EFFECT = (State.FAILED, State.REJECTED, State.EXPIRED, State.CANCELLED)
"""States in which a command has ended without effect."""


@dataclass(frozen=True, slots=True)
class Receipt:
    """The last state of a command; field by field `schemas/receipt.avsc`.

    `code` is one word for programs (`not_found`, `conflict`, `key_reused`), `message` a sentence
    for people, `result` the legacy system's result as canonical JSON, `version` that of the row
    afterwards (after a conflict, of the current row), `position` that of the effect if the target
    reports it.
    """

    command_id: str
    outcome: Outcome
    code: str | None
    message: str | None
    result: str | None
    version: str | None
    position: str | None
    finished_at: datetime
