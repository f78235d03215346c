"""What the view of one system is made of."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from bridge.gateway.copy.applied_log import CaptureRecords
from bridge.gateway.copy.contract import EntityClaim
from bridge.log.port import Log
from bridge.log.registry_port import Registry
from bridge.log.system_topics import SystemTopicCodec
from bridge.model.types import Entity
from bridge.retry import ReportsFailure


class ProvesFreshness(Protocol):
    """What proves how fresh the log is: the copy of the system, `SystemCopy`."""

    def entity_claim(self, entity: str) -> EntityClaim:
        """As SystemCopy: everything committed before `claim.as_of` is at or before its position."""

    async def wait(self, entity: str, until: float) -> None:
        """As SystemCopy."""


@dataclass(frozen=True, slots=True)
class ViewParts:
    """What a view is made of.

    log, registry, codec: open.
    bridge, system: their names. entities: those to hold, by bare name, as reads have them at the start;
    entity_now: as they have them by now.
    exact_fields: see `table_forms`.
    path: of the file. max_bytes: of it at most.
    history_ms: how long change topics keep deletes.
    capture: reads capture's own records.
    proofs: of how fresh the log is; None: nothing is ever proved.
    report: outages of the log. report_record: records that could not be applied.
    network: the name of the network file system that a folder is on; None: it is local.
    monotonic, wall: seconds; handed in by tests.
    """

    log: Log
    registry: Registry
    codec: SystemTopicCodec
    bridge: str
    system: str
    entities: Mapping[str, Entity]
    entity_now: Callable[[str], Entity]
    exact_fields: Mapping[str, Collection[str]]
    path: Path
    max_bytes: int
    history_ms: int | None
    capture: CaptureRecords
    proofs: ProvesFreshness | None
    report: ReportsFailure
    report_record: Callable[[str], None]
    network: Callable[[Path], str | None] = lambda _: None
    monotonic: Callable[[], float] = time.monotonic
    wall: Callable[[], float] = time.time
