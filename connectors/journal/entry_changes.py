"""Turns journal rows into changes. Pure."""

from __future__ import annotations

from bridge.connector import CREATE, DELETE, Change, SourceTransaction
from connectors.journal.dialects.contract import JournalEntry
from connectors.journal.layout import Frame


def change_of(entry: JournalEntry, frame: Frame) -> Change:
    """An entry as a change. Each is a transaction by itself: SQLite's triggers see no transaction
    id, and reads report which numbers they contain.
    """
    width, values, op = frame.width, entry.values, entry.op
    number = entry.position[0]
    transaction = SourceTransaction(str(number), number, entry.made_at, number)
    old = values[:width] if op != CREATE else None
    new = values[width : 2 * width] if op != DELETE else None
    is_full = frame.whole and old is not None
    before = None
    if old is not None:
        moved = new is not None and any(old[at] != new[at] for at in frame.key)
        if is_full:
            before = frame.row(old)
        elif op == DELETE or moved:
            before = frame.key_only(old)
    return Change(
        frame.shape,
        op,
        before,
        is_full,
        None if new is None else frame.row(new),
        0,
        transaction,
        entry.command,
    )
