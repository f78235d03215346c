"""A journal's resume state as bytes, and what it says about the journal that is there now."""

from __future__ import annotations

import json
from dataclasses import dataclass

from bridge.model.errors import ConfigurationError
from connectors.journal.dialect import Mark, State


@dataclass(frozen=True, slots=True)
class Resume:
    """Everything up to `mark` was read of the journal `incarnation`, which had `confirmed`
    acknowledged by then.
    """

    incarnation: str
    mark: Mark
    confirmed: Mark | None

    def pack(self) -> bytes:
        """As a checkpoint."""
        return json.dumps(
            [self.incarnation, list(self.mark), self.confirmed and list(self.confirmed)]
        ).encode()


def unpack(checkpoint: bytes) -> Resume:
    """What `Resume.pack` made; raises ConfigurationError for another connector's checkpoint."""
    try:
        incarnation, mark, confirmed = json.loads(checkpoint)
        return Resume(
            str(incarnation),
            tuple(int(part) for part in mark),
            None if confirmed is None else tuple(int(part) for part in confirmed),
        )
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            "the checkpoint in the log is not a journal's: was the system's connector changed? "
            "Give the system a new name, or go back to the connector that wrote it"
        ) from error


def lost(after: Resume | None, state: State) -> str | None:
    """Why the journal can't tell every change since `after`; None when it can."""
    if after is None:
        if state.confirmed is None:
            return None
        return (
            "the log has no checkpoint, but changes up to number "
            f"{state.confirmed[0]} of the journal were acknowledged by a bridge with another log"
        )
    if after.incarnation != state.incarnation:
        return (
            f"the journal was made anew (it is {state.incarnation}, the log's checkpoint is of "
            f"{after.incarnation})"
        )
    if state.position < after.mark:
        return (
            f"the journal ends at number {state.position[0]}, the log's checkpoint is at "
            f"{after.mark[0]}: the database is older than the log, was a backup restored?"
        )
    if state.confirmed is not None and state.confirmed > after.mark:
        return (
            f"the journal was acknowledged up to number {state.confirmed[0]}, the log's checkpoint "
            f"is at {after.mark[0]}: what lies between is gone"
        )
    if after.confirmed is not None and (
        state.confirmed is None or state.confirmed < after.confirmed
    ):
        return (
            f"the journal was acknowledged up to {state.confirmed and state.confirmed[0]}, but the "
            f"log knows of {after.confirmed[0]}: was a backup of the database restored?"
        )
    return None
