"""What a connector can do, in words. Pure."""

from __future__ import annotations

from bridge.connector import Capabilities

BEFORE = {
    "full": "events hold the old row too (before: full)",
    "none": "events hold no old row (before: none)",
    "per_table": "events hold the old row where the table is set up for it (before: per_table)",
}
DELETES = {
    "streamed": "deletes are streamed as they happen",
    "reconciled": "deletes are found by comparing keys, at an interval",
    "per_table": "deletes are streamed or found by comparing keys, as each table allows",
}


def capability_phrases(can: Capabilities) -> list[str]:
    """A phrase for each thing that matters to who reads the events or sends commands."""
    return [*_capture(can), *_reads(can), *_commands(can)]


def _capture(can: Capabilities) -> list[str]:
    if not can.capture:
        return ["changes aren't captured"]
    every = (
        "every change is emitted, in order (every_change: yes)"
        if can.every_change
        else "states are emitted, some between two polls may be left out (every_change: no)"
    )
    phrases = [every, BEFORE[can.before], DELETES[can.deletes]]
    if can.transactions:
        phrases.append("changes name their transaction and commit time")
    assigned = "positions are assigned by capture"
    phrases.append("positions are the source's own" if can.positions == "source" else assigned)
    if not can.snapshot:
        phrases.append("no snapshots")
    return phrases


def _reads(can: Capabilities) -> list[str]:
    if not can.read:
        return ["no reads"]
    if can.visibility:
        return ["reads tell which transactions they show"]
    return ["reads claim a time, not a position"]


def _commands(can: Capabilities) -> list[str]:
    if not can.write:
        return ["no commands"]
    ledger = "commands take effect once, by a ledger in the system"
    phrases = [ledger if can.ledger else "commands are sent once and probed for when in doubt"]
    if can.markers:
        phrases.append("changes name the command that caused them")
    return phrases
