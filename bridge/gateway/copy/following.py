"""One run of a copy from given offsets, of the partitions that exist."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from bridge.concurrent_works import first_to_end
from bridge.gateway.copy.applied_log import AppliedLog
from bridge.gateway.copy.barrier_waits import BarrierWaits
from bridge.gateway.copy.change_records import ChangeRecords
from bridge.gateway.copy.claims import PublishedClaims, UnsettledFills
from bridge.gateway.copy.copy_parts import CopyParts, Probe
from bridge.gateway.copy.row_forms import RowForms
from bridge.gateway.copy.system_topics import CopyTopics
from bridge.gateway.follower import TopicFollower
from bridge.gateway.freshness.barriers import (
    Barrier,
    BarrierTracker,
    BarrierWait,
    WatermarkRequest,
)
from bridge.gateway.freshness.doubts import Doubts
from bridge.log.port import TopicPartition
from bridge.model.errors import BridgeError, RetryLater
from bridge.retry import ReportsFailure

SILENT_AFTER_S: Final = 1.0
"""Capture that hasn't answered a barrier for so long, nor written anything, is taken to be away: nobody
waits for it until it is heard again.
"""
REFUSAL_S: Final = 5.0
"""After a barrier that could not be asked for, or not be measured, nobody waits for another one so long."""
ROOM_CHECK_S: Final = 0.05
"""Between looks whether a read has made room, while nothing more can be applied."""


class Following:
    """One run from given offsets, of the partitions that exist; it ends when others appear."""

    def __init__(
        self,
        parts: CopyParts,
        *,
        topics: CopyTopics,
        starts: dict[TopicPartition, int],
        name: str,
        rows: RowForms,
        claims: PublishedClaims,
        report: ReportsFailure,
        recovered: Callable[[], None],
        probe: Callable[[], Probe | None],
    ) -> None:
        self._parts = parts
        self._claims = claims
        self._report = report
        self._recovered = recovered
        self._probe = probe
        #: Why no barrier can be asked for, or measured; empty: nothing is known against it.
        self.refusal = ""
        self._refused_until = float("-inf")
        #: How many barriers were begun, and passed.
        self.begun = self.passed = 0
        self._partitions = frozenset(starts)
        by_entity = topics.of_entities(self._partitions)
        self._followed = frozenset(by_entity)
        self._tracker = BarrierTracker(
            parts.system, name, by_entity, topics.common(self._partitions)
        )
        # What stands before the starts is in every answer, and a quiet partition's position never moves.
        self._tracker.reach(starts)
        self._doubts = Doubts(parts.system, parts.entities)
        self.waits = BarrierWaits(self._tracker, self._wake)
        self._unsettled = UnsettledFills(parts.cache)
        self._requests: asyncio.Queue[WatermarkRequest] = asyncio.Queue()
        self._woken = asyncio.Event()
        self._ended = asyncio.Event()
        self._server_reason = ""
        self._server_waits: list[BarrierWait] = []
        self._outstanding_since: float | None = None
        self._heard_at_begin = 0
        self.applied = self._applied_log(topics, rows)
        self._follower = TopicFollower(
            parts.log, topics.names, self.applied, report=report, starts=starts
        )

    def _applied_log(self, topics: CopyTopics, rows: RowForms) -> AppliedLog:
        parts = self._parts
        changes = ChangeRecords(
            parts.registry, parts.system, rows, has_transactions=parts.has_transactions
        )
        return AppliedLog(
            parts.system,
            topics,
            self._partitions,
            cache=parts.cache,
            tracker=self._tracker,
            doubts=self._doubts,
            changes=changes,
            codec=parts.codec,
            capture=parts.capture,
            report=parts.report_record,
            room=self._wait_for_room,
            checkpoint_read=self._requests.put_nowait,
            changed=self._publish,
            wall_clock=lambda: parts.wall() - parts.monotonic(),
            watches=parts.watches,
            claims_deletes=parts.streams_deletes,
        )

    def follows(self, entity: str) -> bool:
        """Whether its topic existed when this began."""
        return entity in self._followed

    def can_prove(self, now: float) -> bool:
        """Whether a barrier could come back."""
        parts = self._parts
        if not (parts.has_watermarks and parts.streams_deletes):
            return False
        if now < self._refused_until:
            return False
        since = self._outstanding_since
        return since is None or now - since < SILENT_AFTER_S or self._is_heard()

    def reasons(self, entity: str, key: bytes | None) -> tuple[str, ...]:
        """Why it is in doubt."""
        if entity not in self._followed:
            return (f"nothing of {entity} was captured yet: its topic is missing",)
        common = [each for each in (self.applied.distrust, self._server_reason) if each]
        return (*common, *self._doubts.reasons(entity, key))

    def begin_again(self, reason: str) -> None:
        """Claim nothing until a barrier that is begun from now on was passed by all."""
        self._server_reason = reason
        self._leave_server()
        self._tracker.forget(self._followed)
        self._server_waits = [self._tracker.wait(entity) for entity in self._followed]
        self._publish()

    def _leave_server(self) -> None:
        for wait in self._server_waits:
            self._tracker.leave(wait)
        self._server_waits = []

    def _prove_server(self) -> None:
        """What was read before the barrier was passed may be older than what was applied."""
        if self._server_waits and all(map(self._tracker.has_passed, self._server_waits)):
            self._leave_server()
            self._server_reason = ""
            for entity in self._followed:
                self._parts.cache.epoch(entity)

    async def run(self) -> None:
        """Until it has to begin with other partitions, or is cancelled."""
        await first_to_end(
            self._follower.run(),
            self._take_watermarks(),
            self._begin_barriers(),
            self._ended.wait(),
        )

    def _publish(self) -> None:
        """What may be claimed has changed, or records were read."""
        self._recovered()
        self._prove_server()
        self.passed += self._unsettled.settle(self._tracker, self._followed)
        reason = self.applied.distrust or self._server_reason
        given_up = self._claims.publish(self._tracker, self._doubts, self._followed, reason)
        for entity in given_up:
            self.waits.release(entity)
        self.waits.release_passed()
        if self.applied.has_grown:
            self._ended.set()
        self._wake()

    def _is_heard(self) -> bool:
        return self.applied.heard > self._heard_at_begin

    def _wake(self) -> None:
        self._woken.set()

    async def _begin_barriers(self) -> None:
        """Ask for barriers while somebody waits: at most one in `BARRIER_INTERVAL_S`."""
        monotonic = self._parts.monotonic
        while True:
            now = monotonic()
            due = self._tracker.next_begin(now)
            if due is None or due > now:
                self._woken.clear()
                try:
                    async with asyncio.timeout(None if due is None else due - now):
                        await self._woken.wait()
                except TimeoutError:
                    continue
                continue
            await self._begin_barrier(now)

    async def _begin_barrier(self, now: float) -> None:
        barrier = self._tracker.begin(now)
        if barrier is None:
            return
        self._unsettled.note_begin(barrier.number)
        self.begun += 1
        self._outstanding_since, self._heard_at_begin = now, self.applied.heard
        try:
            await self._parts.ask(barrier.name)
        except BridgeError as error:
            self._refuse(barrier, error)
            await asyncio.sleep(SILENT_AFTER_S)

    def _refuse(self, barrier: Barrier, error: BridgeError) -> None:
        """An outage of the log is reported by the follower; a missing right is in the status."""
        self._tracker.fail(barrier)
        self._outstanding_since = None
        self.refusal = f"barriers: {error}"
        self._refused_until = self._parts.monotonic() + REFUSAL_S

    async def _take_watermarks(self) -> None:
        """Take high watermarks after a checkpoint was read: never before, and without the follower."""
        while True:
            request = await self._requests.get()
            try:
                watermarks = await self._parts.log.high_watermarks(request.partitions)
            except BridgeError as error:
                self._refuse(request.barrier, error)
            else:
                self.refusal = ""
                self._tracker.set_high_watermarks(request, watermarks)
                self._outstanding_since = None
                self._publish()
            self._wake()

    async def _wait_for_room(self, transactions: int) -> None:
        """Wait until so many transactions can be applied, by a read that shows those before."""
        fences = self._parts.cache.fences
        while fences.room < transactions:
            probe = self._probe()
            if probe is not None:
                try:
                    await probe()
                except RetryLater as error:
                    self._report(1, str(error))
            if fences.room < transactions:
                await asyncio.sleep(ROOM_CHECK_S)
