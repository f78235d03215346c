"""Hooks: what the core reports about itself, for adapters to Prometheus, OpenTelemetry and
structlog.

The core calls an Observer with one of these frozen dataclasses and imports no adapter. Observers
are called synchronously, on the event loop: they must neither block nor raise (see `unfailing`).
Times are seconds; counts are increments since the previous notice of the same thing.
"""

from __future__ import annotations

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
    ReadRefusal,
    ReadRefused,
    ReadsOwned,
    RecordDistrusted,
    RowsRead,
    Throttled,
    ViewMoved,
)
from bridge.observe.observer import Notice, Observer, both, ignore, unfailing
from bridge.observe.part_notices import (
    DeadLetterWritten,
    GroupJoined,
    GroupMoved,
    PartState,
    WorkReported,
)

__all__ = [
    "AnswerAudited",
    "BreakerMoved",
    "CaptureRemark",
    "Captured",
    "CommandMoved",
    "CommandsHeld",
    "Confirmed",
    "DeadLetterWritten",
    "DeletesWithheld",
    "EntityPaused",
    "EntityState",
    "GroupJoined",
    "GroupMoved",
    "Handled",
    "HandlerBlocks",
    "HandlerFailed",
    "HandlerWaits",
    "Notice",
    "Observer",
    "PartState",
    "PeersRead",
    "ReadQueued",
    "ReadRefusal",
    "ReadRefused",
    "ReadsOwned",
    "RecordDistrusted",
    "RowsRead",
    "SnapshotProgress",
    "SourceState",
    "Throttled",
    "ViewMoved",
    "WorkReported",
    "both",
    "ignore",
    "unfailing",
]
