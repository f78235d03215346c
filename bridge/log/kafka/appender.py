"""Appends outside of any transaction that a caller has opened: all of the entries or none."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from typing import Final
from uuid import uuid4

import aiokafka
from aiokafka.errors import KafkaError

from bridge.log.kafka import internals
from bridge.log.kafka.batches import RecordBatch, batches
from bridge.log.kafka.clients import KafkaClients
from bridge.log.kafka.errors import translate
from bridge.log.kafka.producer import KafkaProducer
from bridge.log.kafka.producer_fencing import take_over
from bridge.log.kafka.topics import KafkaTopics
from bridge.log.port import Entry
from bridge.model.errors import OutcomeUnknown

#: Milliseconds that the broker keeps a transaction of several batches open without its owner
#: responding: #: no other producer takes over its id, so readers wait this long.
APPEND_TIMEOUT_MS: Final = 15_000
#: Of the transactional ids of such appends.
APPEND_PREFIX: Final = "legacy-bridge-append-"


class KafkaAppender:
    """Appends entries. May be used by any number of tasks.

    timeout_s: seconds that the broker may take to acknowledge a batch
    """

    def __init__(self, clients: KafkaClients, topics: KafkaTopics, timeout_s: float) -> None:
        self._clients = clients
        self._topics = topics
        self._timeout_s = timeout_s
        self._plain: aiokafka.AIOKafkaProducer | None = None
        self._bulk: KafkaProducer | None = None
        self._appending = asyncio.Lock()

    async def close(self) -> None:
        """Close both producers, the second even if closing the first raises."""
        async with AsyncExitStack() as ends:
            if self._plain is not None:
                ends.push_async_callback(internals.kill, self._plain)
            if self._bulk is not None:
                ends.push_async_callback(self._bulk.close)
        self._plain = self._bulk = None

    async def append(self, topic: str, entries: Sequence[Entry]) -> None:
        """See the port. One batch goes as it is, since it is atomic; several go in a transaction."""
        count = await self._topics.partitions(topic)
        full = batches(topic, entries, count, transactional=False)
        if len(full) == 1:
            await self._send(await self._plain_producer(), topic, full[0])
        elif full:
            async with self._appending:
                bulk = await self._bulk_producer()
                async with bulk.transaction() as transaction:
                    await transaction.append(topic, entries)

    async def _plain_producer(self) -> aiokafka.AIOKafkaProducer:
        async with self._appending:
            if self._plain is not None and internals.is_dead(self._plain):
                await self._give_up(self._plain)
            if self._plain is None:
                client = self._clients.producer(enable_idempotence=True)
                await self._clients.start(client, "append")
                self._plain = client
            return self._plain

    async def _give_up(self, producer: aiokafka.AIOKafkaProducer) -> None:
        """Discard it: what it still holds must not be written later."""
        if self._plain is producer:
            self._plain = None
        await internals.kill(producer)

    async def _bulk_producer(self) -> KafkaProducer:
        if self._bulk is None or self._bulk.is_dead:
            self._bulk = await take_over(
                self._clients,
                f"{APPEND_PREFIX}{uuid4()}",
                APPEND_TIMEOUT_MS,
                self._topics.partitions,
            )
        return self._bulk

    async def _send(
        self, producer: aiokafka.AIOKafkaProducer, topic: str, batch: RecordBatch
    ) -> None:
        try:
            async with asyncio.timeout(self._timeout_s):
                await (await producer.send_batch(batch, topic, partition=batch.partition))
        except TimeoutError as error:
            await self._give_up(producer)
            raise OutcomeUnknown(
                f"append to {topic}: the broker did not answer within "
                f"{self._timeout_s:g} s, so it may or may not be there"
            ) from error
        except KafkaError as error:
            await self._give_up(producer)
            raise translate(error, f"append to {topic}") from error
