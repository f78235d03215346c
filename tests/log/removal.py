"""Removes the first records of a partition, as retention does or a person by hand."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import aiokafka
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete

from bridge.log.embedded.schema import SHIFT
from bridge.log.port import TopicPartition


def remove_embedded(path: Path, partition: TopicPartition, before: int) -> None:
    """Those before an offset; batches that reach past it stay whole."""
    with closing(sqlite3.connect(path)) as connection, connection:
        (number,) = connection.execute(
            "SELECT id FROM partition WHERE topic = ? AND number = ?", tuple(partition)
        ).fetchone()
        connection.execute(
            "DELETE FROM batch WHERE id >= ? AND id < ? AND last < ?",
            (number << SHIFT, (number + 1) << SHIFT, before),
        )
        connection.execute("UPDATE partition SET first = ? WHERE id = ?", (before, number))


def make_again_embedded(path: Path, topic: str) -> None:
    """As a topic that was deleted and created: its offsets begin again."""
    with closing(sqlite3.connect(path)) as connection, connection:
        numbers = connection.execute("SELECT id FROM partition WHERE topic = ?", (topic,))
        for (number,) in numbers.fetchall():
            bounds = (number << SHIFT, (number + 1) << SHIFT)
            connection.execute("DELETE FROM batch WHERE id >= ? AND id < ?", bounds)
        connection.execute("UPDATE partition SET first = 0, next = 0 WHERE topic = ?", (topic,))


async def remove_kafka(bootstrap: str, partition: TopicPartition, before: int) -> None:
    """Those before an offset."""
    admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap)
    await admin.start()
    try:
        await admin.delete_records(
            {aiokafka.TopicPartition(*partition): RecordsToDelete(before_offset=before)}
        )
    finally:
        await admin.close()
