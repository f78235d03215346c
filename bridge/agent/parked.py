"""Keys that an agent with `on_failure: park_key` has parked, as the dead letters tell."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from time import monotonic

from bridge.log.fixed import FixedCodec
from bridge.log.port import Consumer, Log, TopicPartition
from bridge.model.fixed import RELEASED, DeadLetter

LOOK_AGAIN = 1.0


class ParkedKeys:
    """Follows the dead letters of one agent; `entities` by their topics. Many handlers ask."""

    def __init__(
        self,
        log: Log,
        codec: FixedCodec,
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
        self._reader: Consumer | None = None
        self._looked = 0.0
        self._looking = asyncio.Lock()

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

    def add(self, entity: str, key: bytes | None) -> None:
        """An event of this key is being parked."""
        self._keys.add((entity, key))

    async def holds(self, entity: str, key: bytes | None) -> bool:
        """Whether the key is parked. One that is may have been released a second ago."""
        if (entity, key) not in self._keys:
            return False
        async with self._looking:
            if self._clock() - self._looked >= LOOK_AGAIN:
                await self._catch_up()
        return (entity, key) in self._keys

    async def _catch_up(self) -> None:
        assert self._reader is not None, "open comes first"  # noqa: S101
        self._looked = self._clock()
        ends = await self._log.end_offsets(self._reader.assignment())
        while any(self._reader.position(place) < end for place, end in ends.items()):
            records = await self._reader.read(1000, 0.5)
            if not records:
                return
            for record in records:
                if record.value is None:
                    continue
                letter = await self._codec.decode("dead", record.value)
                if isinstance(letter, DeadLetter):
                    self._note(letter)

    def _note(self, letter: DeadLetter) -> None:
        if letter.source != self._agent or letter.kind != "event" or not letter.topic:
            return
        entity = self._entities.get(letter.topic)
        if entity is None:
            return
        place = (entity, letter.key)
        if letter.error == RELEASED:
            self._keys.discard(place)
        else:
            self._keys.add(place)
