"""The epochs of transactional ids: opening a producer fences the one before it."""

from __future__ import annotations

import sqlite3

from bridge.model.errors import Fenced


def take_over(connection: sqlite3.Connection, producer: str) -> int:
    """Increase the epoch of a transactional id, which fences producers with an older one."""
    (epoch,) = connection.execute(
        "INSERT INTO producer VALUES (?, 1) "
        "ON CONFLICT (name) DO UPDATE SET epoch = epoch + 1 RETURNING epoch",
        (producer,),
    ).fetchone()
    return int(epoch)


def check_epoch(connection: sqlite3.Connection, producer: str, epoch: int) -> None:
    """Raises Fenced if another producer has taken over."""
    (current,) = connection.execute(
        "SELECT epoch FROM producer WHERE name = ?", (producer,)
    ).fetchone()
    if current != epoch:
        raise Fenced(
            f"another producer has taken over the transactional id {producer}: nothing of this "
            "transaction was written; stop here"
        )
