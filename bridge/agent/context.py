"""The handler's second argument: reads, a logger, the time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, MutableMapping, Sequence
from datetime import datetime
from typing import Any

from bridge.agent.errors import NotFound
from bridge.model.error_text import value_text
from bridge.model.event import Event, RowVersion, row_version
from bridge.model.provenance import provenance, version
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


class Context:
    """The second argument of a handler; lives for one attempt at one event.

    `event`: the event that is handled.

    Reads raise RetryLater while a system is unavailable; let it propagate, and the handler is
    called again later. Reads that wait at the same time share queries.
    """

    __slots__ = ("_clock", "_handler", "_log", "_logger", "_reads", "event")

    def __init__(
        self,
        event: Event,
        reads: EntityReads,
        clock: Callable[[], datetime],
        logger: logging.LoggerAdapter[logging.Logger],
        handler: str,
    ) -> None:
        self.event = event
        self._reads = reads
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

    async def get(self, entity: str, key: Any) -> Any:
        """The row with that key (a mapping, or the bare value of a key of one field). Raises NotFound."""
        row = await self._reads.get(entity, key)
        if row is None:
            raise NotFound(entity, key)
        return row

    async def get_many(self, entity: str, keys: Sequence[Any]) -> list[Any | None]:
        """The rows with those keys, aligned, None for each that doesn't exist."""
        return await self._reads.get_many(entity, keys)

    async def related(self, row: Any, relation: str) -> Any:
        """The rows that a declared relation of `row`'s entity leads to.

        `row` is the event's or one that was read. A list to many; a row or None to one.
        """
        return await self._reads.related(self._entity_of(row), row, relation)

    async def query(
        self, entity: str, where: Mapping[str, Any] | None = None, limit: int = DEFAULT_LIMIT
    ) -> list[Any]:
        """Rows whose fields equal `where` (a list of values: any of them), at most `limit`."""
        return await self._reads.query(entity, where or {}, limit)

    def version(self, row: Any) -> RowVersion:
        """The version of the event's row or of one that was read, for `Command(expect=...)`."""
        if row is self.event.after or row is self.event.before:
            return row_version(self.event.type, row)
        return version(row)

    def _entity_of(self, row: Any) -> str:
        if row is self.event.after or row is self.event.before:
            return self.event.entity
        return provenance(row).entity


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

    def get(self, entity: str, key: Any) -> Any:
        """As Context.get."""
        return self._wait(self._context.get(entity, key))

    def get_many(self, entity: str, keys: Sequence[Any]) -> Any:
        """As Context.get_many."""
        return self._wait(self._context.get_many(entity, keys))

    def related(self, row: Any, relation: str) -> Any:
        """As Context.related."""
        return self._wait(self._context.related(row, relation))

    def query(
        self, entity: str, where: Mapping[str, Any] | None = None, limit: int = DEFAULT_LIMIT
    ) -> Any:
        """As Context.query."""
        return self._wait(self._context.query(entity, where, limit))

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
