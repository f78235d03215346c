"""What a change record does to a row that is held. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Any, NamedTuple

from bridge.connector import Visibility
from bridge.gateway.cache.entry import Fill


class EntityChange(NamedTuple):
    """One change of one row, as the follower applies it: every record once, per key in log order.

    entity: bare name.
    key: bytes of the record's key less its schema id.
    payload: the row as entries hold it; None for a delete.
    after: the row's fields by name, for lists; None for a delete. Reading one that the source did
    not send raises Unavailable.
    transaction: the argument of `Visibility.contains`; None: unknown, a snapshot's row, or a delete
    that a comparison found.
    captured_at: seconds; used where reads don't report their visibility.
    whole: whether `payload` has every field as a read would bring it.
    snapshot: whether it is a snapshot's row (`read`).
    """

    entity: str
    key: bytes
    payload: Any
    after: Mapping[str, Any] | None
    transaction: int | None
    captured_at: float
    whole: bool = True
    snapshot: bool = False


class RowEffect(Enum):
    """What becomes of the row that is held."""

    KEEP = "keep"
    REPLACE = "replace"
    DROP = "drop"


class EffectRules:
    """The rules for one system.

    reports_visibility: whether the system's reads report which transactions they show.
    allowance: used without visibility: more seconds than the clocks of reader and capture may differ,
    a polled row may be older than its `captured_at`, and a read may show a change late, together.
    """

    def __init__(self, *, reports_visibility: bool, allowance: float) -> None:
        self.reports_visibility = reports_visibility
        self.allowance = allowance

    def of(self, change: EntityChange, payload: Any, fill: Fill, *, same_scope: bool) -> RowEffect:
        """The change's effect on `payload`, which `fill` brought.

        same_scope: whether the change's row is what this scope would read.
        """
        if self.shows(fill, change.transaction):
            return RowEffect.KEEP
        if self.equals(change, payload):
            return RowEffect.KEEP
        if same_scope and self.is_replacement(change) and self.is_newer(change, fill):
            return RowEffect.REPLACE
        return RowEffect.DROP

    def shows(self, fill: Fill, transaction: int | None) -> bool:
        """Whether the answer shows that transaction already."""
        return (
            transaction is not None
            and fill.visibility is not None
            and fill.visibility.contains(transaction)
        )

    def equals(self, change: EntityChange, payload: Any) -> bool:
        """Whether the change brings what is held already."""
        return change.whole and bool(change.payload == payload)

    def is_replacement(self, change: EntityChange) -> bool:
        """Whether the change's row can stand for a row that was read."""
        return change.whole and not change.snapshot

    def is_newer(self, change: EntityChange, fill: Fill) -> bool:
        """Whether the change surely happened after what the answer shows; it isn't contained in it.

        What is named as unseen may be shown all the same: a standby denies what it shows until its
        oldest transaction ends.
        """
        if not self.reports_visibility:
            return change.captured_at > fill.ended_at + self.allowance
        if change.transaction is None:
            return False
        return fill.visibility is None or not self.is_denied(fill.visibility, change.transaction)

    def is_denied(self, visibility: Visibility, transaction: int) -> bool:
        """Whether the answer names the transaction among those that it may not show."""
        return any(transaction == unseen for unseen in visibility.unseen())
