"""The verification: compares the log with the legacy database."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import aclosing
from typing import Any

from sqlalchemy import create_engine, text

from bridge.cli.demo.screen import OUTCOMES
from bridge.cli.demo.tally import DemoTally
from bridge.log.port import TopicPartition
from bridge.log.read_to_end import read_to_end
from bridge.model.canonical import canonical_json
from bridge.model.names import change_topic, split_entity
from bridge.wiring import Bridge

MANY = 1_000_000


def ledger(url: str) -> dict[str, int]:
    """Command id -> rows affected, of the commands that took effect according to the legacy
    database.
    """
    engine = create_engine(url)
    try:
        with engine.connect() as connection:
            # Rows of partition owners begin with a slash, which no command id does.
            sql = "select command_id, affected from bridge_ledger where command_id not like '/%'"
            rows = connection.execute(text(sql))
            return {row[0]: row[1] for row in rows}
    finally:
        engine.dispose()


async def state_of_log(bridge: Bridge, entity: str) -> dict[str, dict[str, Any]]:
    """The rows that result from an entity's events, by key."""
    topic = change_topic(bridge.name, *split_entity(entity))
    info = (await bridge.log.topics())[topic]
    places = [TopicPartition(topic, number) for number in range(info.partitions)]
    begins = await bridge.log.beginning_offsets(places)
    rows: dict[str, dict[str, Any]] = {}
    async with aclosing(read_to_end(bridge.log, begins)) as batches:
        async for records in batches:
            for record in records:
                event = await bridge.events.decode(record)
                if event is None:
                    continue
                key = canonical_json(dict(event.key))
                if event.op == "delete":
                    rows.pop(key, None)
                else:
                    rows[key] = as_dict(event.after)
    return rows


async def state_of_legacy(bridge: Bridge, entity: str) -> dict[str, dict[str, Any]]:
    """The rows that the legacy system has now, by key, read through the gateway."""
    system, name = split_entity(entity)
    reads = await bridge.reads(system)
    key = (await bridge.tables(system))[name].entity.key
    return {
        canonical_json({part: row[part] for part in key}): as_dict(row)
        for row in await reads.query(entity, {}, MANY)
    }


def as_dict(row: Any) -> dict[str, Any]:
    """A row's fields by name."""
    return {name: row[name] for name in row.keys()}  # noqa: SIM118 - a row is no mapping


async def differences(bridge: Bridge) -> tuple[int, list[str]]:
    """How many rows were compared, and which differ between the log and the legacy system."""
    compared, wrong = 0, []
    for entity in bridge.entities:
        log, legacy = await state_of_log(bridge, entity), await state_of_legacy(bridge, entity)
        compared += len(legacy)
        wrong += [
            f"{entity} {key}"
            for key in sorted(log.keys() | legacy.keys())
            if log.get(key) != legacy.get(key)
        ]
    return compared, wrong


def commands_wrong(tally: DemoTally, effects: Mapping[str, int]) -> list[str]:
    """Commands that violate a guarantee: one receipt each; one effect if the ledger has it."""
    wrong = [
        f"command {command} has {tally.receipts[command]} receipts"
        for command in sorted(tally.sent)
        if tally.receipts[command] != 1
    ]
    wrong += [
        f"command {command} affected {rows} rows and caused {tally.caused[command]} changes"
        for command, rows in effects.items()
        if rows != 1 or tally.caused[command] != 1
    ]
    wrong += [
        f"{count} commands ended as {outcome}, which the story has no reason for"
        for outcome, count in tally.outcomes.items()
        if outcome not in OUTCOMES
    ]
    return wrong
