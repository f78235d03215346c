"""The test bench of agents: real handlers, sealed commands, no broker, no legacy system."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Self, TypeVar

from bridge.agent.contract import CommandTarget
from bridge.agent.counted_reads import CountedReads
from bridge.agent.declaration import OPS, AgentDeclaration, EventHandler
from bridge.agent.fake_reads import FakeReads
from bridge.agent.pipeline.call import CallHandler
from bridge.agent.pipeline.delivery import Delivery
from bridge.agent.read_rounds import ReadRounds
from bridge.agent.sample_types import PlainRow
from bridge.agent.sealing import SealedCommand
from bridge.log.port import Record
from bridge.model.command import Command
from bridge.model.error_text import describe_error
from bridge.model.errors import Rejected
from bridge.model.event import Event
from bridge.model.headers import event_id
from bridge.model.names import split_entity
from bridge.model.position import format_position
from bridge.model.provenance import Provenance, TracedRow
from bridge.model.receipt import Outcome, Receipt
from bridge.model.system_records import encode, encode_key
from bridge.model.types import Entity, Relation

T = TypeVar("T")
MAX_COMMAND_BYTES = 899_000
"""The largest command a log accepts by default (`max_record_bytes`), less room for headers."""


class _AnyCommand:
    """In a test every command is treated as declared, with the key that the handler passed."""

    def target(self, name: str) -> CommandTarget:
        return CommandTarget(*split_entity(name), ())


def _check_record(answer: SealedCommand) -> None:
    """Raises Rejected for a command that the bridge would refuse to write."""
    name = answer.record.name
    try:
        key, value = encode_key("command", answer.target), encode("command", answer.record)
    except Exception as error:
        raise Rejected("bad_value", f"{name}: {describe_error(error)}") from error
    size = len(key) + len(value)
    if size > MAX_COMMAND_BYTES:
        raise Rejected(
            "record_too_large",
            f"command {name} takes {size} bytes; the limit is {MAX_COMMAND_BYTES}",
        )


class Bench(AbstractContextManager["Bench"]):
    """An agent under test. Use it as a context manager, in a plain (not async) test.

    `emit` changes a row of the test's legacy system and passes the event to the handlers; it raises
    whatever a handler raises. `redeliver` delivers the last event again, as a replay would: the
    same commands have the same ids, so `commands` does not list them twice.
    """

    def __init__(
        self,
        agent: AgentDeclaration,
        rows: Mapping[str, Sequence[Mapping[str, Any]]],
        keys: Mapping[str, Sequence[str]],
        relations: Mapping[str, Sequence[Relation]],
        clock: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self._agent = agent
        self._clock = clock
        self._reads = FakeReads(rows, keys, relations, clock)
        self._rounds = ReadRounds()
        self._answers: dict[str, SealedCommand] = {}
        self._receipts: list[Receipt] = []
        self._last: list[Event] = []
        self._count = 0
        self._runner: asyncio.Runner | None = None
        self._delivering: asyncio.Task[Any] | None = None
        self._call: CallHandler | None = None

    def __enter__(self) -> Self:
        self._runner = asyncio.Runner()
        self._call = CallHandler(
            self._agent,
            CountedReads(self._reads, self._rounds),
            _AnyCommand(),
            clock=self._clock,
            is_ended=lambda _: self._is_interrupted(),
        )
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._runner is not None:
            self._runner.close()
            self._runner = None

    @property
    def commands(self) -> list[Command]:
        """The commands that the handlers returned, each once, in order."""
        return [answer.command for answer in self._answers.values()]

    @property
    def answers(self) -> list[SealedCommand]:
        """The same commands as they would be written to the log, with id, digest and key."""
        return list(self._answers.values())

    @property
    def receipts(self) -> list[Receipt]:
        """The receipts of an executor that carries out every command."""
        return list(self._receipts)

    @property
    def legacy_queries(self) -> int:
        """How many queries the legacy system would have received."""
        return self._reads.queries

    def explain(self, allowed: Collection[str] = ()) -> str:
        """How the handlers read so far: reads, the rounds that these took, queries, and each loop that
        awaits one read for each row, with its line and what reads the same in one round.

        allowed: names of handlers whose loops are left out. The same text for the same reads.
        """
        return self._rounds.text(self.legacy_queries, allowed)

    def loops(self, allowed: Collection[str] = ()) -> list[str]:
        """The places of such loops, the most expensive first: `handler at file.py:17: the read`."""
        return [site.text for site, _ in self._rounds.loops(allowed)]

    def emit(
        self, entity: str, op: str, row: Mapping[str, Any], *, caused_by: str | None = None
    ) -> Event:
        """One change: `row` is the row afterwards (of a delete: its key, or all of it).

        Fields that an update leaves out stay as they are. Returns the event.
        """
        event = self._changed(entity, op, row, caused_by)
        self._deliver([event])
        return event

    def emit_many(self, entity: str, op: str, rows: Sequence[Mapping[str, Any]]) -> list[Event]:
        """Many changes at once; their handlers run concurrently, as for a batch of events."""
        events = [self._changed(entity, op, row, None) for row in rows]
        self._deliver(events)
        return events

    def redeliver(self) -> None:
        """Deliver the last emitted events again."""
        self._deliver(self._last)

    def _changed(
        self, entity: str, op: str, row: Mapping[str, Any], caused_by: str | None
    ) -> Event:
        if op not in OPS:
            raise ValueError(f"op is {op!r}; use one of {', '.join(sorted(OPS))}")
        self._reads.entity_of(entity, [row])
        before = self._reads.row(entity, row)
        after = None if op == "delete" else {**(before or {}), **row}
        # A field that a later row adds to the type is null in this event's rows.
        kind = self._reads.entity_of(entity, [after] if after else [])
        if after is None:
            self._reads.drop(entity, row)
        else:
            self._reads.put(entity, after)
        self._count += 1
        now, position = self._clock(), format_position(1, self._count, 0)
        old = (before or row) if op == "delete" else (before if op == "update" else None)
        return Event(
            entity=entity,
            op=op,
            key={name: row[name] for name in kind.key},
            before=self._event_row(kind, old, position, now),
            after=self._event_row(kind, after, position, now),
            unavailable=(),
            position=position,
            transaction=None,
            occurred_at=now,
            captured_at=now,
            id=event_id(kind.system, position),
            type=kind,
            topic=f"test.{entity}",
            offset=self._count,
            caused_by=caused_by,
        )

    def _event_row(
        self, kind: Entity, values: Mapping[str, Any] | None, position: str, now: datetime
    ) -> TracedRow | None:
        if values is None:
            return None
        full = {field.name: values.get(field.name) for field in kind.fields}
        provenance = Provenance(kind.qualified, "event", now, position)
        return TracedRow(PlainRow(full), provenance, kind)

    def _deliver(self, events: list[Event]) -> None:
        self._last = events
        for answer in self._run(self._handle_all(events)):
            first = self._answers.setdefault(answer.record.id, answer)
            same = first.record.digest == answer.record.digest
            if first is answer or not same:
                self._receipts.append(self._receipt(answer, same))

    def _is_interrupted(self) -> bool:
        """Whether handlers are being cancelled by Ctrl-C rather than by their own code."""
        return self._delivering is not None and self._delivering.cancelling() > 0

    async def _handle_all(self, events: list[Event]) -> list[SealedCommand]:
        self._delivering = asyncio.current_task()
        lines: dict[tuple[str, str], list[Event]] = {}
        for event in events:
            key = (event.entity, self._reads.key_text(event.entity, event.key))
            lines.setdefault(key, []).append(event)
        done = await asyncio.gather(*(self._handle_line(line) for line in lines.values()))
        return [answer for answers in done for answer in answers]

    async def _handle_line(self, events: list[Event]) -> list[SealedCommand]:
        answers: list[SealedCommand] = []
        for event in events:
            for handler in self._agent.handlers:
                if handler.wants(event) and not self._agent.is_echo(handler, event):
                    answers += await self._handle_once(handler, event)
        return answers

    async def _handle_once(self, handler: EventHandler, event: Event) -> list[SealedCommand]:
        assert self._call is not None, "the bench is not in use as a context manager"  # noqa: S101
        record = Record(event.topic, event.partition, event.offset, 0, None, None, ())
        answers = await self._call(Delivery(event, handler, record))
        for answer in answers:
            _check_record(answer)
        return answers

    def _receipt(self, answer: SealedCommand, same: bool) -> Receipt:
        if same:
            outcome, code, message = Outcome.SUCCEEDED, None, None
        else:
            outcome, code = Outcome.REJECTED, "key_reused"
            message = "the same idempotency key was used for a different command"
        return Receipt(answer.record.id, outcome, code, message, None, None, None, self._clock())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        if self._runner is None:
            work.close()
            raise RuntimeError("use the bench in a `with` block: with agent.test(...) as t")
        if _is_in_a_loop():
            work.close()
            raise RuntimeError(
                "the bench runs handlers itself: use it in a plain test, not an async one"
            )
        return self._runner.run(work)


def _is_in_a_loop() -> bool:
    # A function of its own: otherwise a handler's error would be reported as raised "during
    # handling of" this one.
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True
