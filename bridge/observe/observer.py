"""Observers: what is called with each notice."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from bridge.observe.agent_notices import Handled, HandlerBlocks, HandlerFailed, HandlerWaits
from bridge.observe.capture_notices import (
    Captured,
    CaptureRemark,
    Confirmed,
    DeletesWithheld,
    EntityPaused,
    EntityState,
    SnapshotProgress,
    SourceState,
)
from bridge.observe.command_notices import CommandMoved, CommandsHeld
from bridge.observe.gateway_notices import (
    AnswerAudited,
    BreakerMoved,
    PeersRead,
    ReadQueued,
    ReadRefused,
    ReadsOwned,
    RecordDistrusted,
    RowsRead,
    Throttled,
    ViewMoved,
)
from bridge.observe.part_notices import (
    DeadLetterWritten,
    GroupJoined,
    GroupMoved,
    PartState,
    WorkReported,
)

Notice = (
    Captured
    | SourceState
    | PartState
    | GroupMoved
    | GroupJoined
    | EntityPaused
    | EntityState
    | CaptureRemark
    | WorkReported
    | SnapshotProgress
    | CommandsHeld
    | DeletesWithheld
    | DeadLetterWritten
    | Handled
    | HandlerFailed
    | HandlerWaits
    | HandlerBlocks
    | RecordDistrusted
    | PeersRead
    | RowsRead
    | AnswerAudited
    | ReadQueued
    | ReadRefused
    | ReadsOwned
    | BreakerMoved
    | Throttled
    | ViewMoved
    | CommandMoved
    | Confirmed
)
Observer = Callable[[Notice], None]


def ignore(notice: Notice) -> None:
    """An observer that does nothing."""


def unfailing(observer: Observer) -> Observer:
    """An observer that never raises, so that reporting can't stop the bridge.

    Failures are dropped: a closed terminal or pipe can't show that it is closed.
    """

    def observe(notice: Notice) -> None:
        with suppress(Exception):
            observer(notice)

    return observe


def both(first: Observer, second: Observer) -> Observer:
    """An observer that calls two, in this order."""

    def observe(notice: Notice) -> None:
        first(notice)
        second(notice)

    return observe
