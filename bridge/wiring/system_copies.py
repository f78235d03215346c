"""Copies of captured systems, built for the gateways of a process that runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Final

from bridge.capture import control
from bridge.capture.barriers import record as barrier_record
from bridge.capture.checkpoint import codec as checkpoint_codec
from bridge.capture.report import status_record
from bridge.connector import Connector
from bridge.gateway.cache.cache_state import CacheBounds, CacheState
from bridge.gateway.cache.entry import Scope
from bridge.gateway.copy.applied_log import CaptureRecords
from bridge.gateway.copy.contract import CopyStatus
from bridge.gateway.copy.copy_parts import CopyParts
from bridge.gateway.copy.system_copy import FollowedCopy
from bridge.log.port import Entry, Log, Record
from bridge.log.registry_port import Registry
from bridge.log.system_topics import SystemTopicCodec
from bridge.model.specs import EntitySpec
from bridge.observe import Observer, PartState, RecordDistrusted
from bridge.wiring.gateway_reports import GatewaySection

ALLOWANCE_S: Final = 10.0
"""Where reads report no visibility: more than this machine's clock and that of capture differ, a polled
row may be older than its record says, and a read may show a change late, together.
"""
RECORD_NOTICE_INTERVAL_S: Final = 10.0
"""Between two notices about records of one topic, however many there are."""
SYSTEM_SCOPE: Final = Scope("", "")


def build_copy(
    bridge: str,
    system: str,
    connector: Connector,
    entities: Iterable[EntitySpec],
    *,
    log: Log,
    registry: Registry,
    codec: SystemTopicCodec,
    observer: Observer,
    process: str,
    bounds: CacheBounds = CacheBounds(),  # noqa: B008 - immutable
) -> FollowedCopy:
    """The copy of a system whose connector captures. It follows nothing until it is run."""
    capabilities = connector.capabilities()
    specs = tuple(entities)
    cache = CacheState(
        SYSTEM_SCOPE,
        reports_visibility=capabilities.visibility,
        allowance=ALLOWANCE_S,
        bounds=bounds,
        list_fields=fields_of_lists(specs),
    )
    return FollowedCopy(
        CopyParts(
            log=log,
            registry=registry,
            codec=codec,
            bridge=bridge,
            system=system,
            entities=tuple(spec.name for spec in specs),
            cache=cache,
            scope=SYSTEM_SCOPE,
            capture=capture_records(system),
            ask=BarrierRequests(log, bridge, system).send,
            name=f"{process}-copy",
            has_transactions=capabilities.visibility,
            has_watermarks=capabilities.snapshot,
            streams_deletes=capabilities.deletes == "streamed",
            report=lambda _, reason: observer(PartState("copy", system, "retrying", reason)),
            recovered=lambda: observer(PartState("copy", system, "running")),
            report_record=RecordReports(system, observer),
        )
    )


def fields_of_lists(specs: Iterable[EntitySpec]) -> dict[str, set[str]]:
    """By bare name the fields by which declared relations list an entity's rows."""
    fields: dict[str, set[str]] = {}
    for spec in specs:
        for relation in spec.relations:
            if relation.by_fields:
                fields.setdefault(relation.entity, set()).update(relation.by_fields)
    return fields


def capture_records(system: str) -> CaptureRecords:
    """How the records of this system's capture are read."""
    return CaptureRecords(
        checkpoint=lambda value: checkpoint_codec.load(value, system),
        barrier_key=barrier_record.barrier_key(system),
        barrier=lambda value: barrier_record.load(value, system),
        troubles=_troubles,
    )


def _troubles(value: bytes) -> Mapping[str, str]:
    return status_record.load(value).troubles


class BarrierRequests:
    """Asks the capture of one system for barriers, through the control topic."""

    def __init__(self, log: Log, bridge: str, system: str) -> None:
        self._log = log
        self._topic = control.topic(bridge)
        self._system = system
        self._is_created = False

    async def send(self, name: str) -> None:
        """Returns once the request is durable. Raises RetryLater."""
        if not self._is_created:
            await self._log.create_topics([self._topic])
            self._is_created = True
        request = control.barrier_request(self._system, name)
        await self._log.append(
            self._topic.name, [Entry(self._system.encode(), control.dump(request))]
        )


class RecordReports:
    """Reports records that a copy can't read; few notices for many of one topic."""

    def __init__(
        self, system: str, observer: Observer, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._system = system
        self._observer = observer
        self._clock = clock
        self._counts: dict[str, int] = {}
        self._not_before: dict[str, float] = {}

    def __call__(self, record: Record, reason: str) -> None:
        """As ReportsRecord."""
        count = self._counts.get(record.topic, 0) + 1
        now = self._clock()
        if now < self._not_before.get(record.topic, now):
            self._counts[record.topic] = count
            return
        self._counts[record.topic] = 0
        self._not_before[record.topic] = now + RECORD_NOTICE_INTERVAL_S
        location = f"{record.topic}-{record.partition} offset {record.offset}"
        self._observer(RecordDistrusted(self._system, location, reason, count))


def copy_section(status: CopyStatus) -> GatewaySection:
    """What `bridgectl status` shows of a copy. Pure."""
    ages = [age for age in status.ages.values() if age is not None]
    claimed = f"proved up to {max(ages):.1f} s ago" if ages else "nothing proved yet"
    doubts = f", in doubt: {', '.join(status.doubts)}" if status.doubts else ""
    troubles = "".join(f"; {trouble}" for trouble in status.troubles)
    return GatewaySection(
        f"{status.entries} rows and lists in {status.bytes} bytes, {claimed}{doubts}{troubles}",
        {
            "ages": dict(status.ages),
            "doubts": {name: list(reasons) for name, reasons in status.doubts.items()},
            "doubtful_keys": dict(status.doubtful_keys),
            "troubles": list(status.troubles),
            "entries": status.entries,
            "bytes": status.bytes,
            "fenced_keys": status.fenced_keys,
            "unshown_transactions": status.unshown_transactions,
            "barriers_begun": status.barriers[0],
            "barriers_passed": status.barriers[1],
            "applied": status.applied,
        },
    )


async def run_copy(copy: FollowedCopy, stop: asyncio.Event) -> None:
    """Follow until `stop` is set. Raises as `FollowedCopy.run`."""
    following = asyncio.ensure_future(copy.run())
    stopping = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({following, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if following.done():
            following.result()
    finally:
        for task in (following, stopping):
            task.cancel()
        await asyncio.gather(following, stopping, return_exceptions=True)
