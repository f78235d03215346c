"""Opening a producer under a transactional id, which fences the one before it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from bridge.log.kafka.clients import KafkaClients
from bridge.log.kafka.producer import KafkaProducer
from bridge.log.kafka.settings import BACKOFF_MS


async def take_over(
    clients: KafkaClients,
    transactional_id: str,
    transaction_timeout_ms: int,
    partitions: Callable[[str], Awaitable[int]],
) -> KafkaProducer:
    """Take over a transactional id: a started producer, whose predecessor is fenced.

    transaction_timeout_ms: how long the broker keeps a transaction open without its owner responding
    partitions: returns how many partitions a topic has

    The broker ends the predecessor's open transaction before it answers (KIP-98). Raises the port's
    errors.
    """
    client = clients.producer(
        transactional_id=transactional_id,
        transaction_timeout_ms=transaction_timeout_ms,
        retry_backoff_ms=BACKOFF_MS,
    )
    await clients.start(client, f"producer {transactional_id}")
    return KafkaProducer(client, transactional_id, partitions, clients.timeout_s)
