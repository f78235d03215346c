"""Follows the log like any other reader: commands, receipts, and changes that commands caused."""

from __future__ import annotations

import asyncio

from bridge.cli.demo.tally import DemoTally
from bridge.log.port import TopicPartition
from bridge.model import headers
from bridge.model.names import COMMANDS, RECEIPTS, change_topic, split_entity, system_topic
from bridge.model.receipt import Receipt
from bridge.wiring import Bridge


async def follow(bridge: Bridge, tally: DemoTally) -> None:
    """Read until cancelled."""
    commands, receipts = (system_topic(bridge.name, which) for which in (COMMANDS, RECEIPTS))
    changes = {change_topic(bridge.name, *split_entity(entity)) for entity in bridge.entities}
    existing_topics = await bridge.log.topics()
    places = [
        TopicPartition(topic, number)
        for topic in (commands, receipts, *changes)
        for number in range(existing_topics[topic].partitions)
    ]
    reader = await bridge.log.reader(dict(await bridge.log.beginning_offsets(places)))
    try:
        while True:
            for record in await reader.read(1000, 0.2):
                if record.topic == commands:
                    tally.sent.add(dict(record.headers)[headers.ID].decode())
                elif record.topic in changes:
                    tally.change(record)
                elif record.value is not None:
                    receipt = await bridge.codec.decode("receipt", record.value)
                    if isinstance(receipt, Receipt):
                        tally.outcome(receipt)
            await asyncio.sleep(0)
    finally:
        await reader.close()
