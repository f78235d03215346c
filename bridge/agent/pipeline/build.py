"""The pipeline of an agent: its steps, in the order in which they run."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from bridge.agent.contract import CommandTargets, ParkedKeyRegistry
from bridge.agent.declaration import AgentDeclaration
from bridge.agent.handler_waiting import HandlerWaiting
from bridge.agent.held_rows import HeldRows
from bridge.agent.pipeline.call import CallHandler
from bridge.agent.pipeline.dead_letters import DeadLetterEntries
from bridge.agent.pipeline.delivery import HandleEvent, OutgoingEntry
from bridge.agent.pipeline.echo import SuppressEchoes
from bridge.agent.pipeline.encode import EncodeCommands
from bridge.agent.pipeline.hold_parked import HoldParkedKeys
from bridge.agent.pipeline.observe import ObserveTries
from bridge.agent.pipeline.park import ParkFailures
from bridge.agent.pipeline.records import RecordHandling
from bridge.agent.pipeline.retry import Retry, RetryDecoding, Sleep
from bridge.agent.pipeline.select import SelectEvents
from bridge.agent.retry_policy import Backoff
from bridge.log.system_topics import ENTRY_OVERHEAD, SystemTopicCodec
from bridge.observe import Observer
from bridge.ports.entity_reads import EntityReads
from bridge.ports.event_decoder import EventDecoder
from bridge.waiting import PartWaiting


@dataclass(frozen=True, slots=True)
class PipelineDependencies:
    """What the steps need from outside; everything is used in the event loop of the handlers.

    `parked_keys`: only for an agent with `on_failure: park_key`.
    `sleep`, `rest`, `backoff`: see `Retry`.
    `threads`, `is_ended`, `held`: see `CallHandler`.
    """

    decoder: EventDecoder
    reads: EntityReads
    commands: CommandTargets
    codec: SystemTopicCodec
    parked_keys: ParkedKeyRegistry | None
    max_record_bytes: int
    clock: Callable[[], datetime]
    sleep: Sleep
    rest: Sleep
    backoff: Backoff | None
    threads: Executor
    is_ended: Callable[[asyncio.Task[Any]], bool]
    observer: Observer
    waiting: PartWaiting
    held: HeldRows | None = None


def build_pipeline(agent: AgentDeclaration, needs: PipelineDependencies) -> RecordHandling:
    """The steps from a change record to the entries to write for it, outermost first."""
    observer = needs.observer
    max_entry_bytes = needs.max_record_bytes - ENTRY_OVERHEAD
    dead_letters = DeadLetterEntries(
        agent.name, needs.codec, max_entry_bytes, needs.clock, observer
    )
    return RecordHandling(
        agent.handlers,
        RetryDecoding(needs.decoder, needs.waiting, needs.sleep),
        dead_letters,
        ParkFailures(
            agent,
            needs.parked_keys,
            dead_letters,
            observer,
            then=SelectEvents(
                then=SuppressEchoes(
                    agent,
                    observer,
                    then=_hold_parked_keys(
                        needs.parked_keys,
                        dead_letters,
                        then=EncodeCommands(
                            needs.codec,
                            max_entry_bytes,
                            then=Retry(
                                agent,
                                HandlerWaiting(agent.name, needs.waiting, observer),
                                observer,
                                sleep=needs.sleep,
                                rest=needs.rest,
                                backoff=needs.backoff,
                                then=ObserveTries(
                                    agent,
                                    observer,
                                    then=CallHandler(
                                        agent,
                                        needs.reads,
                                        needs.commands,
                                        clock=needs.clock,
                                        threads=needs.threads,
                                        is_ended=needs.is_ended,
                                        held=needs.held,
                                    ),
                                ),
                            ),
                        ),
                    ),
                ),
            ),
        ),
    )


def _hold_parked_keys(
    parked_keys: ParkedKeyRegistry | None,
    dead_letters: DeadLetterEntries,
    *,
    then: HandleEvent[OutgoingEntry],
) -> HandleEvent[OutgoingEntry]:
    if parked_keys is None:
        return then
    return HoldParkedKeys(parked_keys, dead_letters, then=then)
