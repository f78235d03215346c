"""What handlers need from the bridge: run in the bridge's loop, awaited in the handlers' loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Sequence
from functools import partial
from time import monotonic
from typing import Any, Final, TypeVar

from bridge.agent.handler_loop import HandlerLoop
from bridge.agent.held_rows import HeldRows
from bridge.agent.parked_keys import ParkedKeys
from bridge.log.port import Record, TopicPartition
from bridge.model.contained_errors import contained
from bridge.model.error_text import error_message
from bridge.model.errors import (
    UNAVAILABLE,
    BridgeError,
    ConfigurationError,
    Rejected,
    RetryLater,
)
from bridge.model.event import Event
from bridge.model.framing import HEADER_SIZE
from bridge.model.provenance import entity_of, origin_of
from bridge.model.read_demands import NO_DEMANDS, ReadDemands
from bridge.model.row_selection import ALL_ROWS, RowSelection
from bridge.observe import Notice, Observer, ignore
from bridge.ports.entity_reads import EntityReads
from bridge.ports.event_decoder import EventDecoder
from bridge.ports.held_entry import RowEntry, SupportsHeldRows
from bridge.waiting import PartWaiting

T = TypeVar("T")
Work = Callable[[], Coroutine[Any, Any, Any]]

OTHER_ROWS_ANSWERED_WITHIN_S: Final = 300.0
"""A refusal is blamed on the row itself if other rows were answered since the last refusal, within
this many seconds: a waiting event is retried more often than that.
"""


class BridgeCalls:
    """Runs coroutines in the bridge's loop for tasks of the handlers' loop."""

    def __init__(self, handlers: HandlerLoop[Any, Any]) -> None:
        self._bridge = asyncio.get_running_loop()
        self._handlers = handlers.loop
        self._pause = handlers.pause
        self.dropped_check = handlers.dropped_check
        self._to_bridge = handlers.to_bridge
        self._to_handlers = handlers.to_handlers
        self._running: dict[asyncio.Future[Any], asyncio.Task[Any]] = {}

    async def call(self, work: Work) -> Any:
        """Return or raise what `work` does; cancelled with its caller."""
        answer: asyncio.Future[Any] = self._handlers.create_future()
        self.post(self._begin, work, answer)
        try:
            value = await answer
        except asyncio.CancelledError:
            self.post(self._cancel, answer)
            raise
        # Many calls complete together, and what their handlers do next may block.
        await self._pause()
        return value

    def post(self, call: Callable[..., object], *arguments: Any) -> None:
        """Run `call` in the bridge's loop; calls run in the order of posting."""
        self._to_bridge.post_soon(self._handlers, call, *arguments)

    def _begin(self, work: Work, answer: asyncio.Future[Any]) -> None:
        task = self._bridge.create_task(_contained(work))
        self._running[answer] = task
        task.add_done_callback(partial(self._end, answer))

    def _cancel(self, answer: asyncio.Future[Any]) -> None:
        task = self._running.get(answer)
        if task is not None:
            task.cancel()

    def _end(self, answer: asyncio.Future[Any], task: asyncio.Task[Any]) -> None:
        del self._running[answer]
        if task.cancelled():
            error: BaseException | None = RetryLater("the call was cancelled")
        else:
            error = task.exception()
        value = None if error is not None else task.result()
        self._to_handlers.post_soon(self._bridge, _settle, answer, value, error)


async def _contained(work: Work) -> Any:
    """Wrap errors that would otherwise end the bridge's loop."""
    try:
        return await work()
    except (Exception, asyncio.CancelledError, KeyboardInterrupt):
        raise
    except BaseException as error:
        raise contained(error, "the call") from error


def _settle(answer: asyncio.Future[Any], value: Any, error: BaseException | None) -> None:
    if answer.done():
        return
    if error is None:
        answer.set_result(value)
    else:
        answer.set_exception(error)


def entry_of(row: Any) -> RowEntry | None:
    """What is held of a row that was read by key; None: it isn't from the cache."""
    if row is None:
        return None
    entry = getattr(origin_of(row), "entry", None)
    return entry if isinstance(entry, RowEntry) else None


class BridgeReads:
    """Reads of the gateway, for handlers. A RetryLater names the system that is unavailable.

    A missing permission, a dropped table or anything else that a person has to set up is waited
    for, as commands do: nothing is wrong with the event. If the same query succeeds for other rows
    meanwhile, the refusal concerns this row only and is raised unchanged.
    """

    def __init__(
        self, calls: BridgeCalls, reads: EntityReads, clock: Callable[[], float] = monotonic
    ) -> None:
        self._calls = calls
        self._reads = reads
        self._clock = clock
        #: Rows that were answered and are still held, for this agent's handlers.
        self.held = HeldRows(reads.held_source) if isinstance(reads, SupportsHeldRows) else None
        self._answered_at: dict[str, float | None] = {}
        """Refused query -> time of its first success after the refusal."""

    async def get(self, entity: str, key: Any, demands: ReadDemands = NO_DEMANDS) -> Any | None:
        """As EntityReads."""
        held = self.held
        answers = 0 if held is None else held.answers(entity)
        row = await self._read(entity, "get", lambda: self._reads.get(entity, key, demands))
        if held is not None:
            held.keep(entity, key, row, entry_of(row), answers)
        return row

    async def get_many(
        self, entity: str, keys: Sequence[Any], demands: ReadDemands = NO_DEMANDS
    ) -> list[Any | None]:
        """As EntityReads."""
        held = self.held
        answers = 0 if held is None else held.answers(entity)
        rows: list[Any | None] = await self._read(
            entity, "get", lambda: self._reads.get_many(entity, keys, demands)
        )
        if held is not None:
            for key, row in zip(keys, rows, strict=True):
                held.keep(entity, key, row, entry_of(row), answers)
        return rows

    async def related(
        self, entity: str, row: Any, relation: str, demands: ReadDemands = NO_DEMANDS
    ) -> Any:
        """As EntityReads."""
        related = await self._read(
            entity,
            f"related {relation}",
            lambda: self._reads.related(entity, row, relation, demands),
        )
        self._note_rows(related if isinstance(related, list) else [related])
        return related

    async def query(
        self,
        entity: str,
        where: Mapping[str, Any],
        limit: int,
        demands: ReadDemands = NO_DEMANDS,
        selection: RowSelection = ALL_ROWS,
    ) -> list[Any]:
        """As EntityReads."""
        rows: list[Any] = await self._read(
            entity, "query", lambda: self._reads.query(entity, where, limit, demands, selection)
        )
        self._note_rows(rows)
        return rows

    def _note_rows(self, rows: Sequence[Any]) -> None:
        """Rows that were read in another way may be newer than those that are held."""
        if self.held is not None and rows and rows[0] is not None and entry_of(rows[0]) is None:
            self.held.forget(entity_of(rows[0]))

    async def _read(self, entity: str, kind: str, work: Work) -> Any:
        question = f"{entity} {kind}"
        answered_at = self._answered_at.get(question)
        is_of_the_row = (
            answered_at is not None and self._clock() - answered_at < OTHER_ROWS_ANSWERED_WITHIN_S
        )
        try:
            answer = await self._calls.call(work)
        except RetryLater as error:
            error.system = error.system or str(entity).partition(".")[0]
            raise
        except ConfigurationError as error:
            self._answered_at[question] = None
            if is_of_the_row:
                raise
            raise _waiting(entity, error) from error
        except Rejected as error:
            if error.code != UNAVAILABLE:
                raise
            # The table was renamed or doesn't match its entity: no fault of a row, and a person
            # fixes it.
            raise _waiting(entity, error) from error
        if question in self._answered_at and self._answered_at[question] is None:
            self._answered_at[question] = self._clock()
        return answer


def _waiting(entity: str, error: BridgeError) -> RetryLater:
    waits = RetryLater(error_message(error))
    waits.system = str(entity).partition(".")[0]
    return waits


class BridgeEventDecoder:
    """Decodes records: in the bridge's loop until their schema has been read, then directly."""

    def __init__(self, calls: BridgeCalls, events: EventDecoder) -> None:
        self._calls = calls
        self._events = events
        self._frames: set[bytes] = set()

    async def decode(self, record: Record) -> Event | None:
        """As EventDecoder."""
        frame = (record.value or b"")[:HEADER_SIZE]
        if frame in self._frames:
            return await self._events.decode(record)
        event: Event | None = await self._calls.call(lambda: self._events.decode(record))
        if event is not None:
            self._frames.add(frame)
        return event


class BridgeParkedKeys:
    """The parked keys, whose state belongs to the bridge's loop."""

    def __init__(self, calls: BridgeCalls, parked: ParkedKeys) -> None:
        self._calls = calls
        self._parked = parked

    def add(self, entity: str, key: bytes | None, partition: TopicPartition) -> None:
        """As ParkedKeys; does nothing if the partition has been lost by the time the bridge's loop
        runs it: the event's dead letter is never written then.
        """
        is_dropped = self._calls.dropped_check()

        def add() -> None:
            if not is_dropped():
                self._parked.add(entity, key, partition)

        self._calls.post(add)

    async def holds(self, entity: str, key: bytes | None) -> bool:
        """As ParkedKeys."""
        return bool(await self._calls.call(lambda: self._parked.holds(entity, key)))


class BridgePartWaiting(PartWaiting):
    """What a part waits for, kept in the bridge's loop."""

    def __init__(self, calls: BridgeCalls, waiting: PartWaiting) -> None:
        self._calls = calls
        self._bridges = waiting

    def tried(self, failures: int, why: str, action: str = "") -> None:
        """As PartWaiting."""
        self._calls.post(self._bridges.tried, failures, why, action)


def bridge_observer(calls: BridgeCalls, observer: Observer) -> Observer:
    """`observer`, called in the bridge's loop: not every observer is thread-safe."""

    def observe(notice: Notice) -> None:
        calls.post(observer, notice)

    return ignore if observer is ignore else observe
