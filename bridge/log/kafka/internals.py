"""All uses of aiokafka's private parts, each with its reason.

`tests/log/test_kafka_internals.py` notices when another version of aiokafka changes it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from itertools import chain
from typing import Any

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaTimeoutError
from aiokafka.producer import sender

#: Seconds. The broker answers CONCURRENT_TRANSACTIONS to a transaction that follows the last
#: one closely, and aiokafka then waits its constant of 20 ms: 30 ms a transaction instead of 8.
TRANSACTION_BACKOFF_S = 0.002
sender.BACKOFF_OVERRIDE = TRANSACTION_BACKOFF_S


def is_dead(producer: aiokafka.AIOKafkaProducer) -> bool:
    """Whether the producer has ended by itself: a further call would fail an assertion."""
    return bool(producer._txn_manager.is_fatal_error())  # noqa: SLF001


def cause_of_death(producer: aiokafka.AIOKafkaProducer) -> BaseException | None:
    """What ended the producer's background task; collects what nobody else would await."""
    waiter = producer._txn_manager._transaction_waiter  # noqa: SLF001
    if waiter is not None and waiter.done() and not waiter.cancelled():
        waiter.exception()
    task = producer._sender.sender_task  # noqa: SLF001
    if task is None or not task.done() or task.cancelled():
        return None
    error: BaseException | None = task.exception()
    return error


def set_password(client: Any, password: str) -> None:
    """Set the password for future connections of a producer, a consumer or an admin client."""
    inner = client.client if isinstance(client, aiokafka.AIOKafkaProducer) else client._client  # noqa: SLF001
    inner._sasl_plain_password = password  # noqa: SLF001


def next_group(producer: aiokafka.AIOKafkaProducer) -> None:
    """Allow another group in one transaction: aiokafka remembers only the first."""
    producer._txn_manager._txn_consumer_group = None  # noqa: SLF001


async def added(
    producer: aiokafka.AIOKafkaProducer, places: Iterable[aiokafka.TopicPartition]
) -> None:
    """Add partitions to the open transaction before there are batches for them.

    Raises the error by which the transaction failed meanwhile; if it also ended the producer,
    `is_dead` is true.
    """
    manager = producer._txn_manager  # noqa: SLF001
    missing = set(places) - manager.txn_partitions
    if not missing:
        return
    done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    tell = type(manager).partition_added

    def partition_added(partition: aiokafka.TopicPartition) -> None:
        tell(manager, partition)
        missing.discard(partition)
        if not missing and not done.done():
            done.set_result(None)

    manager.partition_added = partition_added
    try:
        for partition in tuple(missing):
            manager.maybe_add_partition_to_txn(partition)
        failed = manager.wait_for_transaction_end()
        await asyncio.wait([done, failed], return_when=asyncio.FIRST_COMPLETED)
        if failed.done():
            failed.result()
    finally:
        del manager.partition_added


class _Pending(set[Any]):
    """Pending batches, of which one may be removed twice."""

    def remove(self, batch: Any) -> None:
        self.discard(batch)


def forgiving(producer: aiokafka.AIOKafkaProducer) -> aiokafka.AIOKafkaProducer:
    """The same producer, which can be closed while a batch waits to be sent again.

    Such a batch isn't among the pending ones, but its callback removes it when it fails: an
    uncatchable KeyError on stderr, once per batch.
    """
    producer._message_accumulator._pending_batches = _Pending()  # noqa: SLF001
    return producer


async def kill(producer: aiokafka.AIOKafkaProducer) -> None:
    """End a producer without delivering what it still holds: `stop` would wait for the broker."""
    running = producer._sender.sender_task  # noqa: SLF001
    if running is not None and not running.done():
        running.cancel()
        await asyncio.wait([running], timeout=1)
        if not running.done():
            # A hanging broker: its requests end with their connection.
            await producer.client.close()
            await asyncio.wait([running], timeout=1)
    held = producer._message_accumulator  # noqa: SLF001
    given_up = [*held._pending_batches, *chain(*held._batches.values())]  # noqa: SLF001
    held.fail_all(KafkaTimeoutError("given up"))
    for batch in given_up:
        # Callers already have another error; asyncio would report an unread one.
        for future in (batch.future, batch._drain_waiter):  # noqa: SLF001
            if future.done() and not future.cancelled():
                future.exception()
    # In a separate task, because `stop` ends by cancelling its parts: our own cancellation must not
    # be mistaken for that.
    stopping = asyncio.ensure_future(_stop_and_disconnect(producer))
    stopping.add_done_callback(_looked_at)
    await asyncio.wait([stopping])


async def _stop_and_disconnect(producer: aiokafka.AIOKafkaProducer) -> None:
    """`stop` leaves its connections open where the sender's end raises."""
    try:
        await producer.stop()
    finally:
        await producer.client.close()


def _looked_at(stopping: asyncio.Future[None]) -> None:
    """Ignore the result: nothing more can be done about this producer."""
    if not stopping.cancelled():
        stopping.exception()


def position(consumer: aiokafka.AIOKafkaConsumer, partition: Any) -> int | None:
    """The next offset, without the event loop; None while it isn't known.

    It moves past commit markers, which no record shows.
    """
    assignment = consumer._subscription.subscription.assignment  # noqa: SLF001
    if assignment is None or partition not in assignment.tps:
        return None
    state = assignment.state_value(partition)
    return int(state.position) if state.has_valid_position else None


def on_reset(
    consumer: aiokafka.AIOKafkaConsumer, partition: Any, call: Callable[[int], None]
) -> None:
    """Call `call` with a position that the broker reports as out of range, before aiokafka resets
    it.

    Applies as long as the partition stays assigned.
    """
    assignment = consumer._subscription.subscription.assignment  # noqa: SLF001
    if assignment is None or partition not in assignment.tps:
        return
    state = assignment.state_value(partition)
    reset = type(state).await_reset

    def await_reset(strategy: int) -> None:
        if state.has_valid_position:
            call(int(state.position))
        reset(state, strategy)

    state.await_reset = await_reset


async def _stop_joining(consumer: aiokafka.AIOKafkaConsumer) -> None:
    """End the task that joins the group: `stop` would wait until the other members rejoined."""
    task = getattr(consumer._coordinator, "_coordination_task", None)  # noqa: SLF001
    if task is not None and not task.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def stop(consumer: aiokafka.AIOKafkaConsumer) -> None:
    """Stop a consumer; raises KafkaError or OSError when leaving the group failed.

    aiokafka cancels and awaits its fetches one by one, and one that had not begun yet ends its
    `stop` with CancelledError in the middle.
    """
    await _stop_joining(consumer)
    fetcher = consumer._fetcher  # noqa: SLF001
    if fetcher is not None:
        fetcher._fetch_task.cancel()  # noqa: SLF001
        under_way = [fetcher._fetch_task, *fetcher._pending_tasks]  # noqa: SLF001
        for task in under_way:
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)
        fetcher._pending_tasks.clear()  # noqa: SLF001
    try:
        await consumer.stop()
    finally:
        # Also if leaving the group failed.
        await consumer._client.close()  # noqa: SLF001


async def ask_any(client: AIOKafkaAdminClient, request: Any) -> Any:
    """As `ask`, to any broker."""
    return await client._send_request(request)  # noqa: SLF001


async def ask(client: AIOKafkaAdminClient, node: int, request: Any) -> Any:
    """Send a request that aiokafka's admin client has no method for."""
    return await client._client.send(node, request)  # noqa: SLF001
