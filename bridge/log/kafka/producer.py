"""One owner of a transactional id, over one aiokafka producer of its own."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from copy import copy
from typing import Any

import aiokafka
from aiokafka.errors import KafkaError

from bridge.log.kafka import internals
from bridge.log.kafka.batches import RecordBatch, batches, numbers
from bridge.log.kafka.errors import translate, translated_errors
from bridge.log.port import Entry, TopicPartition
from bridge.model.errors import BridgeError, ConfigurationError, Fenced, OutcomeUnknown, RetryLater

Partitions = Callable[[str], Awaitable[int]]


async def send(
    client: aiokafka.AIOKafkaProducer, topic: str, full: Sequence[RecordBatch]
) -> list[asyncio.Future[Any]]:
    """Pass batches to a producer; the returned futures are done when the batches have arrived.

    Waits while the previous batch of the same partition is still being sent.
    """
    deliveries: list[asyncio.Future[Any]] = []
    for batch in full:
        delivery = await client.send_batch(batch, topic, partition=batch.partition)
        delivery.add_done_callback(_collect)
        deliveries.append(delivery)
    return deliveries


def _collect(delivery: asyncio.Future[Any]) -> None:
    """After an abort nothing awaits deliveries; asyncio would report their errors as never
    retrieved.
    """
    if not delivery.cancelled():
        delivery.exception()


class KafkaTransaction:
    """The contents of one transaction until its end."""

    def __init__(self, producer: KafkaProducer) -> None:
        self._producer = producer
        self.deliveries: list[asyncio.Future[Any]] = []
        self.offsets: dict[str, dict[TopicPartition, int]] = {}
        self.failure: BaseException | None = None

    async def append(self, topic: str, entries: Sequence[Entry]) -> None:
        """Add records, in order; they are sent while the block runs."""
        try:
            self.deliveries += await self._producer.send(topic, entries)
        except BaseException as error:
            # Some of the entries may have been sent: a block that continues must not commit them.
            self.failure = error
            raise

    async def ready(self, entries: Mapping[str, Sequence[Entry]]) -> None:
        """See the port."""
        await self._producer.ready(entries)

    def check(self) -> None:
        """Raise what an append raised, in case the block continued after it."""
        if self.failure is not None:
            raise self.failure

    def commit_offsets(self, group: str, offsets: Mapping[TopicPartition, int]) -> None:
        """Commit, with this transaction, the next offsets that `group` should read."""
        if offsets:
            self.offsets.setdefault(group, {}).update(offsets)


class KafkaProducer:
    """Created by `KafkaLog.producer`, already started: the previous owner is fenced."""

    def __init__(
        self,
        client: aiokafka.AIOKafkaProducer,
        transactional_id: str,
        partitions: Partitions,
        timeout: float,
    ) -> None:
        self._client = client
        self._id = transactional_id
        self._partitions = partitions
        self._timeout = timeout
        self._dead: BridgeError | None = None
        self._ending: asyncio.Task[None] | None = None

    @property
    def transactional_id(self) -> str:
        return self._id

    @property
    def is_dead(self) -> bool:
        """Whether it has failed or been fenced."""
        return self._dead is not None or internals.is_dead(self._client)

    def transaction(self) -> AbstractAsyncContextManager[KafkaTransaction]:
        """See the port. A cancelled commit or abort is finished before the next transaction
        begins.
        """
        return self._transaction()

    @asynccontextmanager
    async def _transaction(self) -> AsyncIterator[KafkaTransaction]:
        await self._settled()
        self._check_alive()
        with translated_errors(f"transaction of {self._id}"):
            await self._client.begin_transaction()
        transaction = KafkaTransaction(self)
        try:
            yield transaction
            transaction.check()
        except BaseException:
            with suppress(BridgeError):
                # The block's own error is the one to raise; a dead producer raises at its next use.
                await self._end(self._abort())
            raise
        await self._end(self._commit(transaction))

    async def send(self, topic: str, entries: Sequence[Entry]) -> list[asyncio.Future[Any]]:
        """Send records within the open transaction."""
        count = await self._partitions(topic)
        full = batches(topic, entries, count, transactional=True)
        try:
            async with asyncio.timeout(self._timeout):
                return await send(self._client, topic, full)
        except (TimeoutError, KafkaError) as error:
            raise await self._died(error, f"append to {topic}") from error

    async def ready(self, entries: Mapping[str, Sequence[Entry]]) -> None:
        """Wait until the open transaction has the partitions of these records."""
        places = {
            aiokafka.TopicPartition(topic, number)
            for topic, topic_entries in entries.items()
            for number in numbers(topic_entries, await self._partitions(topic))
        }
        try:
            async with asyncio.timeout(self._timeout):
                await internals.added(self._client, places)
        except (TimeoutError, KafkaError) as error:
            raise await self._died(error, f"transaction of {self._id}") from error
        self._check_alive()

    async def close(self) -> None:
        """Close it. An open transaction is aborted by the next owner or the broker's timeout."""
        try:
            with suppress(BridgeError):
                await self._settled()
        finally:
            self._dead = self._dead or RetryLater(f"producer {self._id} is closed: open a new one")
            internals.cause_of_death(self._client)
            await internals.kill(self._client)

    async def _settled(self) -> None:
        """Wait for a commit or abort whose caller was cancelled; if this wait is cancelled too, the
        next caller waits.
        """
        ending = self._ending
        if ending is not None:
            try:
                await asyncio.shield(ending)
            finally:
                if ending.done():
                    self._ending = None

    async def _end(self, how: Any) -> None:
        """Complete a commit or abort even if the caller is cancelled meanwhile."""
        self._ending = asyncio.ensure_future(how)
        await asyncio.shield(self._ending)
        self._ending = None

    async def _commit(self, transaction: KafkaTransaction) -> None:
        doing = f"commit of {self._id}"
        self._check_alive()
        try:
            async with asyncio.timeout(self._timeout):
                # aiokafka would commit without the batches that were refused.
                await asyncio.gather(self._offsets(transaction), *transaction.deliveries)
        except (TimeoutError, KafkaError) as error:
            # A refused batch leaves a gap in the producer's sequence numbers: it can't continue.
            raise await self._died(error, doing, give_up=True) from error
        self._check_alive()
        try:
            async with asyncio.timeout(self._timeout):
                await self._client.commit_transaction()
        except (TimeoutError, KafkaError) as error:
            failure = translate(error, doing)
            if not isinstance(failure, Fenced):
                failure = self._verdict(failure)
            await self._bury(failure)
            raise failure from error

    async def _offsets(self, transaction: KafkaTransaction) -> None:
        for number, (group, offsets) in enumerate(transaction.offsets.items()):
            if number:
                internals.next_group(self._client)
            places = {aiokafka.TopicPartition(*partition): at for partition, at in offsets.items()}
            await self._client.send_offsets_to_transaction(places, group)

    async def _abort(self) -> None:
        if self._dead is not None:
            return
        if internals.is_dead(self._client):
            await self._died(KafkaError("the producer ended"), f"abort of {self._id}")
            return
        try:
            async with asyncio.timeout(self._timeout):
                await self._client.abort_transaction()
        except (TimeoutError, KafkaError) as error:
            raise await self._died(error, f"abort of {self._id}", give_up=True) from error

    def _check_alive(self) -> None:
        if self._dead is None and internals.is_dead(self._client):
            cause = internals.cause_of_death(self._client) or KafkaError("the producer ended")
            self._dead = self._verdict(translate(cause, f"producer {self._id}"))
        if self._dead is not None:
            raise copy(self._dead)

    async def _died(
        self, error: BaseException, doing: str, *, give_up: bool = False
    ) -> BridgeError:
        """The error to raise; closes the producer if it can't continue."""
        failure: BridgeError = (
            RetryLater(f"{doing}: the broker did not answer within {self._timeout:g} s")
            if isinstance(error, TimeoutError)
            else translate(error, doing)
        )
        give_up = give_up or isinstance(error, TimeoutError)
        if internals.is_dead(self._client):
            cause = internals.cause_of_death(self._client)
            failure = translate(cause, doing) if cause is not None else failure
            give_up = True
        if give_up or isinstance(failure, Fenced):
            await self._bury(failure)
            if isinstance(failure, RetryLater):
                failure = self._verdict(failure)
        return failure

    async def _bury(self, failure: BridgeError) -> None:
        """Close the client at once, so that nothing it still holds is written later."""
        self._dead = self._verdict(failure)
        internals.cause_of_death(self._client)
        await internals.kill(self._client)

    def _verdict(self, failure: BridgeError) -> BridgeError:
        """The error that every later use of this producer raises: only a new one can continue."""
        if isinstance(failure, (Fenced, ConfigurationError, OutcomeUnknown)):
            return failure
        return OutcomeUnknown(
            f"{failure}: the transaction may or may not have been committed; open a new producer "
            "as "
            f"{self._id}, which decides it, then read what was written"
        )
