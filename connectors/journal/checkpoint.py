"""A journal's resume state as bytes, and its comparison with the current journal."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass

from bridge.model.errors import ConfigurationError
from connectors.journal.dialects.contract import JournalEntry, JournalPosition, JournalState


@dataclass(frozen=True, slots=True)
class JournalCheckpoint:
    """Up to where a journal was read.

    incarnation: of which journal.
    position: the last row that was read.
    confirmed: what was acknowledged by then.
    fingerprint: of the row at `position`; empty where it wasn't read.
    owner: who acknowledges, as this log calls itself in the journal's state.
    broken: tables whose triggers were not there at `position`.
    """

    incarnation: str
    position: JournalPosition
    confirmed: JournalPosition | None
    fingerprint: str = ""
    owner: str = ""
    broken: tuple[str, ...] = ()

    def pack(self) -> bytes:
        """As a checkpoint."""
        return json.dumps(
            [
                self.incarnation,
                list(self.position),
                self.confirmed and list(self.confirmed),
                self.fingerprint,
                self.owner,
                list(self.broken),
            ]
        ).encode()


def unpack_checkpoint(checkpoint: bytes) -> JournalCheckpoint:
    """What `Resume.pack` made; raises ConfigurationError for another connector's checkpoint.

    One of an earlier version has neither fingerprint nor owner nor broken tables.
    """
    try:
        incarnation, position, confirmed, *rest = json.loads(checkpoint)
        fingerprint, owner, broken = rest or ("", "", ())
        return JournalCheckpoint(
            str(incarnation),
            tuple(int(part) for part in position),
            None if confirmed is None else tuple(int(part) for part in confirmed),
            str(fingerprint),
            str(owner),
            tuple(str(table) for table in broken),
        )
    except (ValueError, TypeError) as error:
        raise ConfigurationError(
            "the checkpoint in the log is not a journal's: was the system's connector changed? "
            "Give the system a new name, or go back to the connector that wrote it"
        ) from error


def fingerprint_of(entry: JournalEntry) -> str:
    """Distinguishes a journal's row from every other one, whatever its number.

    Columns that the journal got since then are null in it.
    """
    values = list(entry.values)
    while values and values[-1] is None:
        values.pop()
    text = repr((entry.position, entry.layout, entry.op, entry.made_at, entry.command, values))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:16]


def find_loss(
    after: JournalCheckpoint | None, state: JournalState, entry: JournalEntry | None
) -> str | None:
    """Why the journal doesn't have every change since `after`; None when it has.

    `entry` is the journal's row at `after.position`, where it is there.
    """
    if after is None:
        if state.confirmed is None:
            return None
        return (
            "the log has no checkpoint, but changes up to number "
            f"{state.confirmed[0]} of the journal were acknowledged by a bridge with another log"
        )
    if after.incarnation != state.incarnation:
        return (
            f"the journal was created again (it is {state.incarnation or 'without a name'}, the log's "
            f"checkpoint is of {after.incarnation})"
        )
    if state.confirmed is not None and state.owner and state.owner != after.owner:
        return "the journal is acknowledged by a bridge with another log"
    if state.position < after.position:
        return (
            f"the journal ends at number {state.position[0]}, the log's checkpoint is at "
            f"{after.position[0]}: the database is older than the log, was a backup restored?"
        )
    if state.confirmed is not None and state.confirmed > after.position:
        return (
            f"the journal was acknowledged up to number {state.confirmed[0]}, the log's checkpoint "
            f"is at {after.position[0]}: the changes in between are gone"
        )
    is_comparable = bool(after.fingerprint) and entry is not None
    if is_comparable and entry is not None and fingerprint_of(entry) != after.fingerprint:
        return (
            f"number {after.position[0]} of the journal is another change than the one in the log: was "
            "a backup of the database restored?"
        )
    # Where the change at the position is the log's, an acknowledgement was lost: the power failed.
    if (
        after.confirmed is not None
        and not is_comparable
        and (state.confirmed is None or state.confirmed < after.confirmed)
    ):
        return (
            f"the journal was acknowledged up to {state.confirmed and state.confirmed[0]}, but the "
            f"log knows of {after.confirmed[0]}: was a backup of the database restored?"
        )
    return None


def lost_text(system: str, reason: str, restart_statement: str) -> str:
    """The message for lost history, with the recovery options."""
    return (
        f"journal of {system!r}: {reason}. Use the log that belongs to it (`bridgectl log copy`), "
        f"or start again: {restart_statement}; then run `bridgectl snapshot {system} --accept-loss`, which "
        "takes every entity again with the deletes that were missed"
    )


def is_complete(
    after: JournalCheckpoint, entry: JournalEntry | None, entries: Sequence[JournalEntry]
) -> bool:
    """Whether the rows alone show that nothing is missing: the row at the position is the log's, and
    all that are after it follow without a gap. Quicker than asking for the journal's state.
    """
    return (
        bool(entries)
        and entry is not None
        and entries[-1].position[0] == after.position[0] + len(entries)
        and fingerprint_of(entry) == after.fingerprint
    )


def find_gap(
    after: JournalPosition, entries: Sequence[JournalEntry], state: JournalState
) -> str | None:
    """Why the rows after `after` are not all that there were; None when they are.

    A journal's numbers have no gaps: a transaction that is rolled back gives its numbers back.
    """
    if not entries:
        if state.position == after:
            return None
        return _missing(after[0] + 1, state.position[0])
    expected = after[0] + 1
    if entries[0].position[0] == expected and entries[-1].position[0] == after[0] + len(entries):
        return None
    for entry in entries:
        if entry.position[0] != expected:
            return _missing(expected, entry.position[0] - 1)
        expected += 1
    return None


def _missing(first: int, last: int) -> str:
    numbers = (
        f"number {first} of the journal is"
        if first == last
        else (f"numbers {first} to {last} of the journal are")
    )
    return (
        f"{numbers} missing: rows of the journal were deleted that this log had not read, by a "
        "person or by another bridge"
    )
