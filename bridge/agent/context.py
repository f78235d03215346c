"""The handler's second argument: reads, a logger, the time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, MutableMapping, Sequence
from datetime import datetime
from time import monotonic
from typing import Any, TypedDict, Unpack

from bridge.agent.held_rows import HeldRows, KeyedReads
from bridge.model.error_text import value_text
from bridge.model.event import Event, RowVersion, row_version
from bridge.model.provenance import provenance, version
from bridge.model.read_demands import ReadCause, ReadDemands
from bridge.model.receipt import Receipt
from bridge.model.row_selection import row_selection
from bridge.ports.entity_reads import EntityReads

DEFAULT_LIMIT = 100


def key_of_event(event: Event) -> str:
    """The row's key for people: the bare value of one field, else `a=1,b=2`."""
    key = event.key
    if len(key) == 1:
        return value_text(next(iter(key.values())))
    return ",".join(f"{name}={value_text(value)}" for name, value in key.items())


class HandlerLog(logging.LoggerAdapter[logging.Logger]):
    """A logger that adds the event's origin to the `extra` of each call."""

    def process(
        self, msg: Any, kwargs: MutableMapping[str, Any]
    ) -> tuple[Any, MutableMapping[str, Any]]:
        """As LoggerAdapter, but keeps the call's own `extra`."""
        kwargs["extra"] = {**(kwargs.get("extra") or {}), **(self.extra or {})}
        return msg, kwargs


class Context(KeyedReads):
    """The second argument of a handler; lives for one attempt at one event.

    `event`: the event that is handled.

    Reads raise RetryLater while a system is unavailable; let it propagate, and the handler is
    called again later. Reads that wait at the same time share queries.

    No read of the event's system is older than the event, and what the agent has read of a row never
    goes back. Every read takes, by name:
    `max_staleness`: seconds that the answer may be old (0: everything committed before the call);
    the entity's `max_staleness` where nothing is said.
    `after`: the position of an event or of a row's provenance, or the receipt of a command: its
    effect is in the answer.
    `fresh`: the legacy system itself is asked.
    `deadline`: seconds that the read may take; past them it raises DeadlineExceeded.
    `peers`: False if rows that were answered together with this one aren't read on with it. Else the
    second such read in a loop over rows also reads what the others lead to, and their reads are
    answered with that; never with anything older than this attempt.
    Demands that are invalid or contradict each other raise Rejected (`bad_freshness`).
    """

    __slots__ = ("_agent", "_clock", "_handler", "_log", "_logger", "_plain", "event")

    def __init__(
        self,
        event: Event,
        reads: EntityReads,
        clock: Callable[[], datetime],
        logger: logging.LoggerAdapter[logging.Logger],
        *,
        handler: str,
        agent: str,
        held: HeldRows | None = None,
    ) -> None:
        system = "" if held is None else event.entity.partition(".")[0]
        super().__init__(reads, held, system, event.position)
        self.event = event
        self._agent = agent
        self._plain: ReadDemands | None = None
        self._clock = clock
        self._logger = logger
        self._handler = handler
        self._log: logging.LoggerAdapter[logging.Logger] | None = None

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger whose records name agent, handler and event: its entity, key and id, and its
        topic, partition and offset.
        """
        if self._log is None:
            event = self.event
            facts = {
                **(self._logger.extra or {}),
                "handler": self._handler,
                "entity": event.entity,
                "key": key_of_event(event),
                "event_id": event.id,
                "topic": event.topic,
                "partition": event.partition,
                "offset": event.offset,
            }
            self._log = HandlerLog(self._logger.logger, facts)
        return self._log

    @property
    def now(self) -> datetime:
        """The time, in UTC."""
        return self._clock()

    async def get_many(
        self,
        entity: str,
        keys: Sequence[Any],
        *,
        max_staleness: float | None = None,
        after: str | Receipt | None = None,
        fresh: bool = False,
        deadline: float | None = None,
        peers: bool = True,
    ) -> list[Any | None]:
        """The rows with those keys, aligned, None for each that doesn't exist."""
        demands = self._demands(max_staleness, after, fresh, deadline, peers)
        return await self._reads.get_many(entity, keys, demands)

    async def related(
        self,
        row: Any,
        relation: str,
        *,
        max_staleness: float | None = None,
        after: str | Receipt | None = None,
        fresh: bool = False,
        deadline: float | None = None,
        peers: bool = True,
    ) -> Any:
        """The rows that a declared relation of `row`'s entity leads to.

        `row` is the event's or one that was read. A list to many; a row or None to one.
        """
        demands = self._demands(max_staleness, after, fresh, deadline, peers)
        return await self._reads.related(self._entity_of(row), row, relation, demands)

    async def query(
        self,
        entity: str,
        where: Mapping[str, Any] | None = None,
        limit: int = DEFAULT_LIMIT,
        *,
        order: str | Sequence[str] = (),
        continue_after: Any = None,
        fields: Sequence[str] | None = None,
        max_staleness: float | None = None,
        after: str | Receipt | None = None,
        fresh: bool = False,
        deadline: float | None = None,
        peers: bool = True,
    ) -> list[Any]:
        """Rows that match `where`, at most `limit`.

        where: field -> the value that it equals; a list: any of them; a mapping of operators (`<` `<=`
        `>` `>=` `between` `in`): all of what they say, as in `{"qty": {">=": 5, "<": 10}}`.
        order: the field to sort by, or several; a `-` before it: the largest first. Rows without a
        value come first (with a `-` last); where all are equal, the key decides.
        continue_after: the last row of the page before, for the next one in the same order.
        fields: the only ones that are needed, besides the key and those of `order`.
        Ranges and orders are answered by the legacy system; raises Rejected where its connector
        can't (`unsupported_query`).
        """
        demands = self._demands(max_staleness, after, fresh, deadline, peers)
        if not order and continue_after is None and fields is None:
            return await self._reads.query(entity, where or {}, limit, demands)
        selection = row_selection(order, continue_after, fields)
        return await self._reads.query(entity, where or {}, limit, demands, selection)

    def version(self, row: Any) -> RowVersion:
        """The version of the event's row or of one that was read, for `Command(expect=...)`."""
        if row is self.event.after or row is self.event.before:
            return row_version(self.event.type, row)
        return version(row)

    def _demands(
        self,
        max_staleness: float | None,
        after: str | Receipt | None,
        fresh: bool,
        deadline: float | None,
        peers: bool,
    ) -> ReadDemands:
        plain = self._plain
        if plain is None:
            event = self.event
            cause = ReadCause(
                self._agent,
                self._handler,
                event.id,
                event.entity.partition(".")[0],
                event.position,
                event.transaction,
                monotonic(),
            )
            plain = self._plain = ReadDemands(cause=cause)
        if peers and max_staleness is None and after is None and deadline is None and not fresh:
            return plain
        return ReadDemands(max_staleness, after, fresh, deadline, plain.cause, peers)

    def _entity_of(self, row: Any) -> str:
        if row is self.event.after or row is self.event.before:
            return self.event.entity
        return provenance(row).entity


class FreshnessDemands(TypedDict, total=False):
    """The demands of a read by name; see Context."""

    max_staleness: float | None
    after: str | Receipt | None
    fresh: bool
    deadline: float | None
    peers: bool


class BlockingContext:
    """The context of a plain function, which runs in a thread: the same reads, waited for.

    Where an event loop runs in the calling thread a read returns an awaitable instead: an async
    function behind a plain wrapper or a lambda is given this context and awaits its reads.
    """

    __slots__ = ("_context", "_loop")

    def __init__(self, context: Context, loop: asyncio.AbstractEventLoop) -> None:
        self._context = context
        self._loop = loop

    @property
    def event(self) -> Event:
        """The event that is handled."""
        return self._context.event

    @property
    def log(self) -> logging.LoggerAdapter[logging.Logger]:
        """A logger that knows agent, handler and event."""
        return self._context.log

    @property
    def now(self) -> datetime:
        """The time, in UTC."""
        return self._context.now

    def get(self, entity: str, key: Any, **demands: Unpack[FreshnessDemands]) -> Any:
        """As Context.get."""
        return self._wait(self._context.get(entity, key, **demands))

    def get_many(
        self, entity: str, keys: Sequence[Any], **demands: Unpack[FreshnessDemands]
    ) -> Any:
        """As Context.get_many."""
        return self._wait(self._context.get_many(entity, keys, **demands))

    def related(self, row: Any, relation: str, **demands: Unpack[FreshnessDemands]) -> Any:
        """As Context.related."""
        return self._wait(self._context.related(row, relation, **demands))

    def query(
        self,
        entity: str,
        where: Mapping[str, Any] | None = None,
        limit: int = DEFAULT_LIMIT,
        *,
        order: str | Sequence[str] = (),
        continue_after: Any = None,
        fields: Sequence[str] | None = None,
        **demands: Unpack[FreshnessDemands],
    ) -> Any:
        """As Context.query."""
        reading = self._context.query(
            entity,
            where,
            limit,
            order=order,
            continue_after=continue_after,
            fields=fields,
            **demands,
        )
        return self._wait(reading)

    def version(self, row: Any) -> RowVersion:
        """As Context.version."""
        return self._context.version(row)

    def _wait(self, reading: Coroutine[Any, Any, Any]) -> Any:
        try:
            running = asyncio.get_running_loop()
        except RuntimeError:
            return asyncio.run_coroutine_threadsafe(reading, self._loop).result()
        if running is self._loop:
            return reading
        return asyncio.wrap_future(asyncio.run_coroutine_threadsafe(reading, self._loop))
