"""The port that connectors implement: Source, Snapshot, Reader, Writer, and their capabilities.

A connector is registered under the entry point group `bridge.connectors` as an object that
implements `Connector`. `bridge.kit.connector` is the suite that tests what these ports promise.

All coroutines of one object are called by one task at a time, except `Source.ack`, which may be
called while `Source.read` waits, and `Reader.fetch`, which is called concurrently up to the
system's `limits.connections`. Every coroutine may be cancelled; `close` is then still called.
"""

from __future__ import annotations

from bridge.connector.ask import (
    Ask,
    ColumnCondition,
    ColumnOrder,
    ReaderFeatures,
    distinct_keys,
    refuse_unsupported,
)
from bridge.connector.capabilities import Capabilities
from bridge.connector.connection_use import (
    BoundsConnections,
    ConnectedPart,
    ConnectionUse,
    CountsConnections,
)
from bridge.connector.deadline import until_deadline
from bridge.connector.kind import (
    ChecksCommands,
    ChecksResuming,
    ChecksTransport,
    Connector,
    DescribesChangeDetection,
    Drafts,
    EndsSessions,
    LogsIn,
    PlansSetup,
    PublishedLimits,
    PublishesLimits,
    ReadCheckpoint,
    SendsVisibility,
    StatementProblem,
    TransportRisk,
    unsupported,
)
from bridge.connector.reading import (
    Chunk,
    Condition,
    ListsKeys,
    Reader,
    Rows,
    Snapshot,
    Visibility,
)
from bridge.connector.request_count import counting_requests, request_sent
from bridge.connector.rights import ChecksRights, CommandRight
from bridge.connector.stream import (
    CREATE,
    DELETE,
    READ,
    UPDATE,
    Batch,
    Change,
    Checkpoint,
    Column,
    Shape,
    Source,
    SourceTransaction,
    Stale,
    Truncate,
    Watermark,
)
from bridge.connector.system import (
    Finding,
    ReadSessions,
    SetupPlan,
    SetupStatement,
    System,
    TableUse,
)
from bridge.connector.writing import Done, Effect, LedgerWriter, Writer

__all__ = [
    "CREATE",
    "DELETE",
    "READ",
    "UPDATE",
    "Ask",
    "Batch",
    "BoundsConnections",
    "Capabilities",
    "Change",
    "Checkpoint",
    "ChecksCommands",
    "ChecksResuming",
    "ChecksRights",
    "ChecksTransport",
    "Chunk",
    "Column",
    "ColumnCondition",
    "ColumnOrder",
    "CommandRight",
    "Condition",
    "ConnectedPart",
    "ConnectionUse",
    "Connector",
    "CountsConnections",
    "DescribesChangeDetection",
    "Done",
    "Drafts",
    "Effect",
    "EndsSessions",
    "Finding",
    "LedgerWriter",
    "ListsKeys",
    "LogsIn",
    "PlansSetup",
    "PublishedLimits",
    "PublishesLimits",
    "ReadCheckpoint",
    "ReadSessions",
    "Reader",
    "ReaderFeatures",
    "Rows",
    "SendsVisibility",
    "SetupPlan",
    "SetupStatement",
    "Shape",
    "Snapshot",
    "Source",
    "SourceTransaction",
    "Stale",
    "StatementProblem",
    "System",
    "TableUse",
    "TransportRisk",
    "Truncate",
    "Visibility",
    "Watermark",
    "Writer",
    "counting_requests",
    "distinct_keys",
    "refuse_unsupported",
    "request_sent",
    "unsupported",
    "until_deadline",
]
