"""A small ERP in SQLite, its declaration, an embedded log and a registry in memory."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bridge.agent.contract import CommandTarget
from bridge.connector import Change, Column, Shape, SourceTransaction, System, TableUse
from bridge.log.embedded import EmbeddedLog
from bridge.log.port import Log, Record, TopicPartition, TopicSpec
from bridge.log.read_to_end import read_to_end
from bridge.log.registry_port import RegisteredSchema
from bridge.log.system_topics import SystemTopicCodec
from bridge.model.avro import change_schema, key_schema, schema_text
from bridge.model.errors import Rejected
from bridge.model.names import change_topic
from bridge.model.specs import ArgSpec, CommandSpec, EntitySpec, FieldSpec, SystemSpec, Tier
from bridge.model.system_records import TOPIC_KINDS, SystemRecord, TopicKind
from bridge.model.types import Entity, FieldType, Relation
from bridge.plan.entity_table import EntityTable
from bridge.plan.entity_type import entity_type
from bridge.plan.execute import RowEncoder
from bridge.plan.make_plan import make_plan
from bridge.plan.steps import Wire
from connectors.journal import connector
from connectors.journal.connector import JournalOptions

BRIDGE = "acme"
MONEY = FieldType("decimal", 15, 2)
TEXT = FieldType("string")

CUSTOMER = EntitySpec(
    "erp",
    "customer",
    "kna1",
    ("customer_id",),
    (
        FieldSpec("customer_id", ("kunnr",), zeros=10),
        FieldSpec("credit_limit", ("klimk",), type=MONEY),
        FieldSpec("exposure", ("skfor",), type=MONEY),
    ),
)
ORDER = EntitySpec(
    "erp",
    "sales_order",
    "vbak",
    ("order_no",),
    (
        FieldSpec("order_no", ("vbeln",), zeros=10),
        FieldSpec("customer_id", ("kunnr",), zeros=10),
        FieldSpec("status", ("gbstk",), map={"A": "open", "B": "partial", "C": "done"}),
        FieldSpec("total", ("netwr",), type=MONEY),
        FieldSpec("block", ("lifsk",)),
        FieldSpec("note", ("ztext",)),
    ),
    (Relation("customer", "customer", from_field="customer_id"),),
)
REASON = ArgSpec("reason", TEXT, max_length=60)
COMMANDS = (
    CommandSpec(
        "erp",
        "block_order",
        "sales_order",
        "update vbak set lifsk = '01', ztext = :reason where vbeln = :key",
        (REASON,),
        Tier.OUTSIDE_THE_LOOP,
        ("status", "total"),
    ),
    CommandSpec(
        "erp",
        "note_order",
        "sales_order",
        "update vbak set ztext = :reason where vbeln = :key",
        (REASON,),
        Tier.OUTSIDE_THE_LOOP,
    ),
    CommandSpec(
        "erp",
        "raise_total",
        "sales_order",
        "update vbak set netwr = netwr + 1 where vbeln = :key",
        (),
        Tier.OUTSIDE_THE_LOOP,
    ),
    CommandSpec(
        "erp",
        "break_order",
        "sales_order",
        "update vbak set gbstk = null where vbeln = :key",
        (),
        Tier.OUTSIDE_THE_LOOP,
    ),
    CommandSpec(
        "erp",
        "cancel_order",
        "sales_order",
        "delete from vbak where vbeln = :key",
    ),
)
SPEC = SystemSpec("erp", "journal", (CUSTOMER, ORDER), COMMANDS)

SCHEMA = """
create table kna1 (kunnr text primary key, klimk numeric, skfor numeric);
create table vbak (vbeln text primary key, kunnr text, gbstk text not null, netwr numeric,
                   lifsk text, ztext text);
"""


class MemoryRegistry:
    """A registry that lives as long as the test: the port's fake."""

    def __init__(self) -> None:
        self._texts: list[str] = []
        self._subjects: dict[str, list[int]] = {}

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def register(self, subject: str, text: str) -> int:
        if text not in self._texts:
            self._texts.append(text)
        number = self._texts.index(text) + 1
        self._subjects.setdefault(subject, []).append(number)
        return number

    async def schema(self, schema_id: int) -> str:
        try:
            return self._texts[schema_id - 1]
        except IndexError:
            raise KeyError(schema_id) from None

    async def latest(self, subject: str) -> RegisteredSchema | None:
        ids = self._subjects.get(subject)
        return RegisteredSchema(ids[-1], self._texts[ids[-1] - 1]) if ids else None

    async def versions(self, subject: str) -> list[RegisteredSchema]:
        ids = dict.fromkeys(self._subjects.get(subject, ()))
        return [RegisteredSchema(number, self._texts[number - 1]) for number in ids]

    async def set_compatibility(self, subject: str, level: str) -> None: ...


class FakeCommandTargets:
    """What agents need to know of the commands."""

    def target(self, name: str) -> CommandTarget:
        for command in COMMANDS:
            if command.qualified == name:
                return CommandTarget(command.system, command.entity, ("order_no",), command.guards)
        raise Rejected("unknown_command", f"{name} is not declared")


@dataclass
class ErpHarness:
    """Everything that the tests of agents and commands talk to."""

    folder: Path
    log: Log
    registry: MemoryRegistry
    bridge: str
    codec: SystemTopicCodec
    system: System
    shapes: Mapping[str, Shape]
    tables: dict[str, EntityTable]
    executors: dict[str, RowEncoder] = field(default_factory=dict)
    commits: int = 0

    def erp(self) -> sqlite3.Connection:
        """A connection such as the ERP's own users have."""
        return sqlite3.connect(self.folder / "erp.db", isolation_level=None)

    def customers(self, count: int, *, limit: int = 10, exposure: int = 9) -> None:
        with self.erp() as erp:
            erp.executemany(
                "insert into kna1 values (?, ?, ?)",
                [(f"{n:010}", limit, exposure) for n in range(1, count + 1)],
            )

    def order(self, number: int, customer: int, total: float) -> dict[str, Any]:
        row = {
            "vbeln": f"{number:010}",
            "kunnr": f"{customer:010}",
            "gbstk": "A",
            "netwr": total,
            "lifsk": None,
            "ztext": None,
        }
        with self.erp() as erp:
            erp.execute("insert into vbak values (:vbeln,:kunnr,:gbstk,:netwr,:lifsk,:ztext)", row)
        return row

    async def publish(
        self,
        entity: str,
        op: int,
        rows: Sequence[Mapping[str, Any]],
        causation: str | None = None,
    ) -> None:
        """What capture would write for these rows of the ERP."""
        self.commits += 1
        shape = self.shapes[self.tables[entity].spec.table]
        transaction = SourceTransaction(f"tx{self.commits}", self.commits, time.time_ns() // 1000)
        changes = []
        for index, row in enumerate(rows):
            raw = tuple(row[column.name] for column in shape.columns)
            old, new = (raw, None) if op == 3 else (None, raw)
            changes.append(Change(shape, op, old, op == 3, new, index, transaction, causation))
        entries: list[Any] = []
        failures = self.executors[entity].changes(changes, 1, time.time_ns() // 1000, entries)
        assert failures == []
        await self.log.append(change_topic(self.bridge, "erp", entity), entries)

    async def records(self, kind: TopicKind) -> list[SystemRecord]:
        """Everything in one of the fixed topics, in order a partition."""
        stored = [r for r in await self.raw(self.codec.topic(kind)) if r.value is not None]
        return [await self.codec.decode(kind, r.value or b"") for r in stored]

    async def raw(self, topic: str) -> list[Record]:
        count = (await self.log.topics())[topic].partitions
        places = [TopicPartition(topic, number) for number in range(count)]
        batches = read_to_end(self.log, await self.log.beginning_offsets(places))
        return [record async for records in batches for record in records]


def system_of(folder: Path) -> System:
    uses = (
        TableUse("kna1", ("kunnr",)),
        TableUse("vbak", ("vbeln",)),
    )
    url = f"sqlite:///{folder / 'erp.db'}"
    return System(BRIDGE, "erp", url, url, JournalOptions(), uses)


@asynccontextmanager
async def open_erp(
    folder: Path, *, partitions: int = 2, log: Log | None = None, bridge: str = BRIDGE
) -> AsyncIterator[ErpHarness]:
    """The ERP is made when it isn't there, so that a second process may come to the same one."""
    fresh = not (folder / "erp.db").exists()
    system = system_of(folder)
    if fresh:
        with sqlite3.connect(folder / "erp.db") as erp:
            erp.executescript(SCHEMA)
        await connector.setup(system)
    log = log or EmbeddedLog(folder / "log.db", partitions=partitions)
    await log.open()
    try:
        registry = MemoryRegistry()
        codec = SystemTopicCodec(registry, bridge)
        await codec.open()
        shapes = await connector.describe(system)
        specs = {spec.name: spec for spec in (CUSTOMER, ORDER)}
        types = {name: entity_type(spec, shapes[spec.table]) for name, spec in specs.items()}
        await log.create_topics(
            [TopicSpec(codec.topic(kind)) for kind in TOPIC_KINDS]
            + [
                TopicSpec(change_topic(bridge, "erp", name), "compact", history_ms=10**10)
                for name in specs
            ]
        )
        tables = {
            name: EntityTable(spec, types[name], shapes[spec.table]) for name, spec in specs.items()
        }
        here = ErpHarness(folder, log, registry, bridge, codec, system, shapes, tables)
        for name, spec in specs.items():
            topic = change_topic(bridge, "erp", name)
            ids = [
                await registry.register(f"{topic}-{part}", schema_text(schema))
                for part, schema in (
                    ("key", key_schema(types[name])),
                    ("value", change_schema(types[name])),
                )
            ]
            plan = make_plan(spec, types[name], shapes[spec.table])
            here.executors[name] = RowEncoder(plan, bridge, ids[0], ids[1], partitions)
        yield here
    finally:
        await log.close()


def memory_shape(table: str, columns: Sequence[str]) -> Shape:
    return Shape(table, tuple(Column(name, "TEXT", TEXT, "text") for name in columns), Wire.PYTHON)


__all__ = [
    "BRIDGE",
    "COMMANDS",
    "SPEC",
    "Entity",
    "ErpHarness",
    "FakeCommandTargets",
    "MemoryRegistry",
    "open_erp",
]
