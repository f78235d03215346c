"""What the copy of a system is made of."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from bridge.gateway.audit.change_watches import ChangeWatches
from bridge.gateway.cache.cache_state import CacheState
from bridge.gateway.cache.entry import Scope
from bridge.gateway.copy.applied_log import CaptureRecords, ReportsRecord
from bridge.log.port import Log
from bridge.log.registry_port import Registry
from bridge.log.system_topics import SystemTopicCodec
from bridge.retry import ReportsFailure

Probe = Callable[[], Awaitable[object]]
"""Reads any row: see `SystemCopy.probe`."""


@dataclass(frozen=True, slots=True)
class CopyParts:
    """What a copy is made of.

    log, registry, codec: open.
    bridge, system: their names. entities: bare names of those that are captured.
    cache: of this system alone.
    capture: reads capture's own records.
    ask: asks capture for a barrier, by a name that was never used; returns once that is durable.
    name: of this process, among all that ever ran; begins the names of barriers.
    has_transactions: whether reads report their visibility, which takes a record's `transaction`.
    has_watermarks: whether the source can write barriers.
    streams_deletes: whether the source emits deletes as they happen.
    report: outages of the log. recovered: one is over. report_record: records that could not be applied.
    monotonic, wall: seconds; handed in by tests.
    watches: rows whose changes somebody collects as they are applied.
    """

    log: Log
    registry: Registry
    codec: SystemTopicCodec
    bridge: str
    system: str
    entities: tuple[str, ...]
    cache: CacheState
    scope: Scope
    capture: CaptureRecords
    ask: Callable[[str], Awaitable[None]]
    name: str
    has_transactions: bool
    has_watermarks: bool
    streams_deletes: bool
    report: ReportsFailure
    recovered: Callable[[], None]
    report_record: ReportsRecord
    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
    watches: ChangeWatches = field(default_factory=ChangeWatches)
