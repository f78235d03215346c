"""Keys that an agent with `on_failure: park_key` has parked, as recorded in the dead letters."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic

from bridge.log.port import Consumer, Log, Record, TopicPartition
from bridge.log.read_to_end import read_until
from bridge.log.system_topics import SystemTopicCodec
from bridge.model.errors import RetryLater
from bridge.model.system_records import RELEASED, DeadLetter

POLL_EVERY_S = 1.0


class ParkedKeys:
    """Follows the dead letters of one agent. `entities`: topic -> entity. Safe for many concurrent
    handlers.
    """

    def __init__(
        self,
        log: Log,
        codec: SystemTopicCodec,
        agent: str,
        entities: Mapping[str, str],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._log = log
        self._codec = codec
        self._agent = agent
        self._entities = entities
        self._clock = clock
        self._keys: set[tuple[str, bytes | None]] = set()
        #: Parked keys whose letters have not been read back yet, by the partition of their event.
        self._unwritten: dict[tuple[str, bytes | None], TopicPartition] = {}
        self._changes = 0
        """Increased when the log may contain letters that were not read here yet."""
        self._read_changes = 0
        self._reader: Consumer | None = None
        self._polled_at = 0.0
        self._poll_lock = asyncio.Lock()

    async def open(self) -> None:
        """Read what was parked so far."""
        topic = self._codec.topic("dead")
        info = (await self._log.topics())[topic]
        places = [TopicPartition(topic, number) for number in range(info.partitions)]
        self._reader = await self._log.reader(await self._log.beginning_offsets(places))
        await self._catch_up()

    async def close(self) -> None:
        """Stop following."""
        if self._reader is not None:
            await self._reader.close()

    def add(self, entity: str, key: bytes | None, partition: TopicPartition) -> None:
        """As ParkedKeyRegistry."""
        self._unwritten[entity, key] = partition

    def forget(self, places: frozenset[TopicPartition]) -> None:
        """These partitions were lost, and with them the letters that were not written yet."""
        self._unwritten = {each: at for each, at in self._unwritten.items() if at not in places}
        # Some of them may have been written nevertheless.
        self._changes += 1

    def take_over(self) -> None:
        """Partitions were assigned: their previous owner may have parked keys."""
        self._changes += 1

    async def holds(self, entity: str, key: bytes | None) -> bool:
        """Whether the key is parked. True may be out of date: the key may just have been
        released.
        """
        wanted = (entity, key)
        if not (self._stale or wanted in self._keys or wanted in self._unwritten):
            return False
        async with self._poll_lock:
            if self._stale or self._clock() - self._polled_at >= POLL_EVERY_S:
                changes = self._changes
                await self._catch_up()
                self._read_changes = changes
        return wanted in self._keys or wanted in self._unwritten

    @property
    def _stale(self) -> bool:
        return self._read_changes != self._changes

    async def _catch_up(self) -> None:
        """Read to the current end of the log. Raises RetryLater if no record comes for too long."""
        assert self._reader is not None, "open comes first"  # noqa: S101
        self._polled_at = self._clock()
        ends = await self._log.end_offsets(self._reader.assignment())
        try:
            async for records in read_until(self._log, self._reader, ends, clock=self._clock):
                for record in records:
                    await self._take(record)
        except RetryLater as error:
            raise RetryLater(
                f"agent {self._agent!r}: the dead letters can't be read to their end, so it is "
                f"unknown which keys are parked: {error}"
            ) from error

    async def _take(self, record: Record) -> None:
        if record.value is None:
            return
        try:
            letter = await self._codec.decode("dead", record.value)
        except ValueError:
            # A record of another program parks nothing; `bridgectl dead` shows it.
            return
        if isinstance(letter, DeadLetter):
            self._note(letter)

    def _note(self, letter: DeadLetter) -> None:
        if letter.source != self._agent or letter.kind != "event" or not letter.topic:
            return
        entity = self._entities.get(letter.topic)
        if entity is None:
            return
        entity_key = (entity, letter.key)
        self._unwritten.pop(entity_key, None)
        if letter.error == RELEASED:
            self._keys.discard(entity_key)
        else:
            self._keys.add(entity_key)
