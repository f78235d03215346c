"""What is needed of aiokafka and isn't public there, in one place, each with its reason.

`tests/log/test_kafka_internals.py` notices when another version of aiokafka changes it.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import aiokafka
from aiokafka.errors import KafkaTimeoutError
from aiokafka.producer import sender

#: Seconds. The broker answers CONCURRENT_TRANSACTIONS to a transaction that follows the last
#: one closely, and aiokafka then waits its constant of 20 ms: 30 ms a transaction instead of 8.
BACKOFF = 0.002
sender.BACKOFF_OVERRIDE = BACKOFF


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


def next_group(producer: aiokafka.AIOKafkaProducer) -> None:
    """Make way for another group in one transaction: aiokafka remembers only the first."""
    producer._txn_manager._txn_consumer_group = None  # noqa: SLF001


async def kill(producer: aiokafka.AIOKafkaProducer) -> None:
    """End a producer without delivering what it still holds: `stop` would wait for the broker."""
    running = producer._sender.sender_task  # noqa: SLF001
    if running is not None and not running.done():
        running.cancel()
        await asyncio.wait([running], timeout=1)
        if not running.done():
            # A broker that hangs: its requests end with their connection.
            await producer.client.close()
            await asyncio.wait([running], timeout=1)
    producer._message_accumulator.fail_all(KafkaTimeoutError("given up"))  # noqa: SLF001
    with suppress(Exception, asyncio.CancelledError):
        await producer.stop()


def position(consumer: aiokafka.AIOKafkaConsumer, partition: Any) -> int | None:
    """The next offset, without the event loop; None while it isn't known.

    It moves past commit markers, which no record shows.
    """
    assignment = consumer._subscription.subscription.assignment  # noqa: SLF001
    if assignment is None or partition not in assignment.tps:
        return None
    state = assignment.state_value(partition)
    return int(state.position) if state.has_valid_position else None


async def stop_joining(consumer: aiokafka.AIOKafkaConsumer) -> None:
    """End the task that joins the group: `stop` would wait until the other members rejoined."""
    task = getattr(consumer._coordinator, "_coordination_task", None)  # noqa: SLF001
    if task is not None and not task.done():
        task.cancel()
        with suppress(asyncio.CancelledError, Exception):
            await task
