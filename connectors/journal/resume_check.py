"""Whether a journal could be captured further from the log's checkpoint, while a capture may be running."""

from __future__ import annotations

import asyncio

from bridge.connector import ReadCheckpoint, System
from connectors.journal.checkpoint import JournalCheckpoint, find_gap, find_loss, unpack_checkpoint
from connectors.journal.dialects.contract import JournalDialect, JournalPosition
from connectors.journal.short_engine import engine_for

MAX_CHECKED_ROWS = 100
"""Rows of the journal after the log's checkpoint that are looked at."""


async def loss_since_checkpoint(
    system: System, dialect: JournalDialect, read_checkpoint: ReadCheckpoint
) -> str | None:
    """Why the journal doesn't have every change since the log's checkpoint; None when it has.

    A running capture writes its checkpoint before it acknowledges it in the journal, so what was
    acknowledged is read before the checkpoint, and the journal's rows after it.
    """
    acknowledged = await asyncio.to_thread(_acknowledged, system, dialect)
    checkpoint = await read_checkpoint()
    resume = None if checkpoint is None else unpack_checkpoint(checkpoint)
    return await asyncio.to_thread(_loss, system, dialect, resume, acknowledged)


def _acknowledged(system: System, dialect: JournalDialect) -> JournalPosition | None:
    with engine_for(system) as engine, engine.connect() as connection:
        return dialect.state(connection).confirmed if dialect.exists(connection) else None


def _loss(
    system: System,
    dialect: JournalDialect,
    resume: JournalCheckpoint | None,
    acknowledged: JournalPosition | None,
) -> str | None:
    with engine_for(system) as engine, engine.connect() as connection:
        if not dialect.exists(connection):
            return None
        state = dialect.state(connection)
        if resume is None:
            # Before the first checkpoint is in the log nothing is acknowledged.
            return None if acknowledged is None else find_loss(None, state, None)
        ours = bool(state.owner) and state.owner == resume.owner
        if (
            ours
            and _past(state.confirmed, resume.position)
            and not _past(acknowledged, resume.position)
        ):
            return None  # Capture has come further since the checkpoint was read.
        entries = dialect.entries(connection, resume.position, MAX_CHECKED_ROWS)
        entry = dialect.entry(connection, resume.position)
        reason = find_loss(resume, state, entry) or find_gap(resume.position, entries, state)
        if reason is None and entries:
            last = entries[-1].position
            reason = find_gap(last, dialect.entries(connection, last, 1), state)
        return reason


def _past(acknowledged: JournalPosition | None, position: JournalPosition) -> bool:
    return acknowledged is not None and acknowledged > position
