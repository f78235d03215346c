"""Runs an agent on the log.

It reads, starts handlers and writes results concurrently, in the bridge's event loop. Handlers have
an event loop of their own, in a thread (`handler_loop`): whatever they do, the agent keeps its
group membership and keeps writing. No log transaction is open while a handler runs. The commands of
an event, its dead letters and the offset after it become visible in one short transaction, and only
once every earlier event of its partition is finished: so each is in the log once, whichever process
is killed
(docs/decisions/2026-11-22-commands-wait-for-earlier-events.md).
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

from bridge.agent.assigned_partitions import AssignedPartitions
from bridge.agent.blocked_loop import BlockedLoopWatch
from bridge.agent.bridge_calls import (
    BridgeCalls,
    BridgeEventDecoder,
    BridgeParkedKeys,
    BridgePartWaiting,
    BridgeReads,
    bridge_observer,
)
from bridge.agent.contract import CommandTargets
from bridge.agent.declaration import AgentDeclaration
from bridge.agent.first_start import commit_end_offsets, start_text, unread_topics
from bridge.agent.group import agent_group, agent_topics
from bridge.agent.handler_loop import HandlerLoop
from bridge.agent.handler_schedule import HandlerSchedule, Job
from bridge.agent.output_writer import OutputWriter
from bridge.agent.parked_keys import ParkedKeys
from bridge.agent.pipeline.build import PipelineDependencies, build_pipeline
from bridge.agent.pipeline.delivery import OutgoingEntry
from bridge.agent.pipeline.retry import Sleep
from bridge.agent.retry_policy import Backoff
from bridge.closing import close_all
from bridge.log.group_progress import GroupProgress
from bridge.log.partition_owner import ObservedGroup, PartitionOwner, own_partitions
from bridge.log.port import Log, RecordsRemoved, TopicPartition
from bridge.log.system_topics import SystemTopicCodec
from bridge.log.topic_specs import replay_topic_spec
from bridge.model.errors import Fenced, OutcomeUnknown, RetryLater
from bridge.model.names import change_topic, split_entity
from bridge.observe import GroupMoved, Observer, ignore
from bridge.ports.entity_reads import EntityReads
from bridge.ports.event_decoder import EventDecoder
from bridge.waiting import PartWaiting

MAX_PLAIN_HANDLER_THREADS = 64
READ_TIMEOUT_S = 1.0
"""Seconds that a read waits for records."""
FULL_READ_TIMEOUT_S = 0.02
"""Seconds that it waits while a partition is full, because the log doesn't signal when there is
room.
"""
BEGIN_AGAIN_S = (0.05, 1.0)
"""Minimum and maximum seconds to the next try if two members begin at the same time."""
FINISH_TIMEOUT_S = 2.0
"""Seconds that running handlers get to finish when the agent stops."""
CANCEL_TIMEOUT_S = 0.5
"""Seconds that cancelled handlers then get to clean up; blocking ones can't be cancelled."""


def _now() -> datetime:
    return datetime.now(UTC)


class _AgentGroupWatch(ObservedGroup):
    """Also restarts partitions whose topic was recreated."""

    def __init__(
        self, observer: Observer, begin_again: Callable[[frozenset[TopicPartition]], None]
    ) -> None:
        super().__init__(observer)
        self._begin_again = begin_again

    def begins(self, group: str, counts: Mapping[TopicPartition, int]) -> None:
        """As GroupWatch. Silent: `AgentRunner` has already reported where the agent begins."""

    def removed(self, error: RecordsRemoved) -> None:
        """As GroupWatch."""
        super().removed(error)
        self._begin_again(frozenset(at for at, gap in error.gaps.items() if not gap.missing))


class AgentRunner:
    """One member of an agent's group. At most as many members as partitions have work."""

    def __init__(
        self,
        agent: AgentDeclaration,
        *,
        bridge: str,
        log: Log,
        codec: SystemTopicCodec,
        events: EventDecoder,
        reads: EntityReads,
        commands: CommandTargets,
        observer: Observer = ignore,
        clock: Callable[[], datetime] = _now,
        sleep: Sleep = asyncio.sleep,
        backoff: Backoff | None = None,
        session_timeout: float = 10.0,
    ) -> None:
        self._agent = agent
        self._bridge = bridge
        self._log = log
        self._sleep = sleep
        self._observer = observer
        self._waiting = PartWaiting("agent", agent.name, observer)
        self._session_timeout = session_timeout
        self._group = agent_group(bridge, agent.name)
        self._entities = {
            change_topic(bridge, *split_entity(entity)): entity for entity in agent.entities
        }
        self._codec = codec
        self._events = events
        self._reads = reads
        self._commands = commands
        self._clock = clock
        self._backoff = backoff
        self._parked = (
            ParkedKeys(log, codec, agent.name, self._entities)
            if agent.on_failure == "park_key"
            else None
        )
        self._threads = ThreadPoolExecutor(
            min(agent.concurrency, MAX_PLAIN_HANDLER_THREADS),
            thread_name_prefix=f"agent-{agent.name}",
        )
        self._partitions = AssignedPartitions(
            log,
            self._group,
            self._entities,
            start=agent.start,
            max_in_flight=agent.unfinished,
            parked_keys=self._parked,
            cancel_dropped=self._cancel_dropped,
        )
        self._schedule = HandlerSchedule(self._partitions, agent.concurrency)
        self._writer = OutputWriter(
            self._group,
            self._partitions,
            self._schedule,
            progress=GroupProgress(self._group, observer, clock),
            waiting=self._waiting,
            sleep=sleep,
        )

    @property
    def topics(self) -> list[str]:
        """The topics that it reads: see `agent_topics`."""
        return agent_topics(self._bridge, self._agent)

    async def run(self, stop: asyncio.Event) -> None:
        """Handle events until `stop` is set; then end within a few seconds.

        Raises AgentStopped, RetryLater if the log is unavailable at the start, and the errors of a
        damaged log.
        """
        await self._log.create_topics([replay_topic_spec(self._bridge, self._agent.name)])
        handlers = self._schedule.handlers = self._open_handlers()
        watch = BlockedLoopWatch(
            self._agent.name,
            self._agent.handlers,
            handlers.thread.ident or 0,
            handlers.to_handlers,
            observer=self._observer,
        )
        watching = asyncio.create_task(watch.run(lambda: self._schedule.slots.running > 0))
        try:
            if self._parked is not None:
                await self._parked.open()
            await self._begin()
            async with own_partitions(
                self._log,
                self._bridge,
                self._group,
                self.topics,
                self._partitions,
                watch=_AgentGroupWatch(self._observer, self._partitions.begin_again),
                session_timeout=self._session_timeout,
            ) as owner:
                await self._work(owner, stop)
        finally:
            self._threads.shutdown(wait=False, cancel_futures=True)
            await close_all(
                lambda: _ended(watching),
                lambda: handlers.close(CANCEL_TIMEOUT_S),
                self._parked.close if self._parked is not None else None,
            )
        if self._schedule.failure is not None:
            raise self._schedule.failure

    async def _begin(self) -> None:
        """Log how many old events exist for an agent that has no offsets yet, and skip them if it
        is declared so.
        """
        for unread in await unread_topics(self._log, self._group, self._entities):
            reason = start_text(self._agent.name, self._group, unread, self._agent.start)
            self._observer(GroupMoved(self._group, unread.topic, 0, reason))
        while self._agent.start == "now":
            try:
                await commit_end_offsets(self._log, self._bridge, self._group, self._entities)
            except (Fenced, OutcomeUnknown):
                # Another member begins at the same time; after a retry both begin at the same
                # offsets.
                await self._sleep(random.uniform(*BEGIN_AGAIN_S))  # noqa: S311 - no secret
            else:
                return

    def _cancel_dropped(self) -> None:
        self._schedule.handlers.cancel()

    def _open_handlers(self) -> HandlerLoop[Job, list[OutgoingEntry]]:
        """The handlers' loop, and everything that runs in it."""
        loop: HandlerLoop[Job, list[OutgoingEntry]] = HandlerLoop(
            f"handlers-{self._agent.name}",
            lambda job: handling.handle(job[1].item, job[1].results),
            self._schedule.handled,
            is_dropped=lambda job: job[0].dropped,
            give_up=lambda job, error: handling.give_up(job[1].item, job[1].results, error),
        )
        calls = BridgeCalls(loop)

        async def rest(seconds: float) -> None:
            job = loop.current_job()
            if job is None:
                await self._sleep(seconds)
                return
            calls.post(self._schedule.rested, job)
            await self._sleep(seconds)
            await calls.call(lambda: self._schedule.resumed(job))

        reads = BridgeReads(calls, self._reads)
        handling = build_pipeline(
            self._agent,
            PipelineDependencies(
                decoder=BridgeEventDecoder(calls, self._events),
                reads=reads,
                commands=self._commands,
                codec=self._codec,
                parked_keys=None if self._parked is None else BridgeParkedKeys(calls, self._parked),
                max_record_bytes=self._log.max_record_bytes,
                clock=self._clock,
                sleep=self._sleep,
                rest=rest,
                backoff=self._backoff,
                threads=self._threads,
                is_ended=loop.is_ended,
                observer=bridge_observer(calls, self._observer),
                waiting=BridgePartWaiting(calls, self._waiting),
                held=reads.held,
            ),
        )
        return loop

    async def _work(self, owner: PartitionOwner, stop: asyncio.Event) -> None:
        reading = asyncio.create_task(self._read(owner))
        writing = asyncio.create_task(self._writer.run(owner))
        stopping = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait((reading, writing, stopping), return_when=asyncio.FIRST_COMPLETED)
            broken = [task for task in (reading, writing) if task.done()]
            self._schedule.stop()
            await _ended(reading)
            await self._schedule.until_idle(FINISH_TIMEOUT_S)
            self._writer.end()
            # An open transaction is not cancelled: whether a cancelled commit took effect only the
            # log knows, and what is written next depends on it.
            await asyncio.wait((writing,), timeout=FINISH_TIMEOUT_S)
            if writing.done() and not writing.cancelled() and writing.exception() is None:
                await self._writer.write(owner)
            for task in broken:
                task.result()
        finally:
            await close_all(
                lambda: asyncio.gather(*map(_ended, (reading, writing)), _ended(stopping)),
                self._partitions.revoke_all,
            )

    async def _read(self, owner: PartitionOwner) -> None:
        failures = 0
        while self._schedule.failure is None:
            full = [work.partition for work in self._partitions if work.in_flight.full]
            free = [work for work in self._partitions if not work.in_flight.full]
            owner.member.pause(full)
            owner.member.resume(work.partition for work in free)
            room = min(
                (self._agent.unfinished - len(work.in_flight) for work in free),
                default=self._agent.unfinished,
            )
            try:
                records = await owner.read(room, FULL_READ_TIMEOUT_S if full else READ_TIMEOUT_S)
            except RetryLater as error:
                failures += 1
                self._waiting.tried(failures, str(error), "read")
                await self._sleep(READ_TIMEOUT_S)
                continue
            if failures:
                failures = 0
                self._waiting.tried(0, "", "read")
            for record in records:
                work = self._partitions.get(TopicPartition(record.topic, record.partition))
                # No work: the partition was lost meanwhile; its new owner reads these records
                # again.
                if work is not None:
                    work.in_flight.add(record.offset, record.key, record)
            self._schedule.start()


async def _ended(task: asyncio.Task[Any]) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
