"""What is thrown at the running bridge: rows, tasks for its agent, records of other programs, pages."""

from __future__ import annotations

import contextlib
import io
import json
import random
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

import fastavro
from fastavro.utils import generate_many

from bridge.config import load
from bridge.log.port import Entry
from bridge.model.command import CommandRecord
from bridge.model.system_records import Target
from bridge.wiring import open_bridge
from tests.torture_input.bridge import TorturedBridge
from tests.torture_input.hostile import Hostile

JUNK_MARK = "torture-junk"
"""Header of a foreign record, by which the verdict finds it again."""

FOREIGN_SCHEMAS: tuple[Any, ...] = (
    "string",
    "null",
    {"type": "array", "items": "double"},
    {"type": "record", "name": "Empty", "fields": []},
    {
        "type": "record",
        "name": "erp.task.Change",
        "fields": [{"name": "op", "type": "string"}, {"name": "after", "type": "long"}],
    },
    {"type": "record", "name": "erp.task.Key", "fields": [{"name": "id", "type": "bytes"}]},
    {
        "type": "record",
        "name": "Linked",
        "fields": [{"name": "next", "type": ["null", "Linked"], "default": None}],
    },
)
Statement = tuple[str, tuple[Any, ...]]
ANY_ROW = """(
    select rowid from orders where order_no is not 'canary' order by rowid
    limit 1 offset (? % (select max(1, count(*) - 1) from orders)))"""


@dataclass(slots=True)
class Fed:
    """What was thrown, for the verdict: successful row statements, task ids, sent command ids."""

    row_changes: int = 0
    tasks: dict[int, int] = field(default_factory=dict)
    commands: set[str] = field(default_factory=set)


def feed_rows(bridge: TorturedBridge, hostile: Hostile, count: int, fed: Fed) -> None:
    """Inserts, updates and deletes of rows that hold anything that SQLite takes."""
    with contextlib.closing(sqlite3.connect(bridge.erp_file, timeout=60)) as db:
        for _ in range(count):
            statement, values = hostile.random.choice((_insert, _insert, _cast, _update, _delete))(
                hostile
            )
            # A key that is there already is refused, and no change.
            with contextlib.suppress(sqlite3.IntegrityError), db:
                fed.row_changes += max(0, db.execute(statement, values).rowcount)


def _insert(hostile: Hostile) -> Statement:
    values = tuple(_bindable(hostile) for _ in range(5))
    return "insert into orders (order_no, qty, amount, note, due) values (?, ?, ?, ?, ?)", values


def _cast(hostile: Hostile) -> Statement:
    """Text that isn't UTF-8 can only be made by a cast."""
    raw = hostile.random.choice((b"\xff\xfe", b"\xed\xa0\xbd", b"a\x00b", b"\xc3"))
    key = f"r{hostile.random.randrange(10**9)}"
    return "insert into orders (order_no, note) values (?, cast(? as text))", (key, raw)


def _update(hostile: Hostile) -> Statement:
    column = hostile.random.choice(("qty", "amount", "note", "due", "data", "flag"))
    number = hostile.random.randrange(1000)
    return f"update orders set {column} = ? where rowid = {ANY_ROW}", (_bindable(hostile), number)


def _delete(hostile: Hostile) -> Statement:
    return f"delete from orders where rowid = {ANY_ROW}", (hostile.random.randrange(1000),)


def _bindable(hostile: Hostile) -> Any:
    value = hostile.scalar()
    if isinstance(value, str):
        return value.encode("utf-8", "replace").decode()
    if isinstance(value, bool | float | bytes | None):
        return value
    if isinstance(value, int):
        return max(-(2**63), min(2**63 - 1, value))
    return hostile.random.choice((b"\x00\xff" * 10, 1e308, "text", -1))


def feed_tasks(bridge: TorturedBridge, hostile: Hostile, count: int, fed: Fed) -> None:
    """Tasks whose handling is hostile: each a seed of what the agent does."""
    with contextlib.closing(sqlite3.connect(bridge.erp_file, timeout=60)) as db, db:
        for _ in range(count):
            seed = hostile.random.randrange(2**40)
            cursor = db.execute("insert into task (seed) values (?)", (seed,))
            assert cursor.lastrowid is not None
            fed.tasks[cursor.lastrowid] = seed


async def feed_records(bridge: TorturedBridge, hostile: Hostile, count: int, fed: Fed) -> None:
    """Records of other programs in every topic that people read, and commands by another program."""
    async with open_bridge(load(bridge.guarded.config, bridge.guarded.environment)) as writing:
        codec = writing.codec
        topics = [name for name in await writing.log.topics() if not name.startswith("_")]
        foreign = [
            (await writing.registry.register(f"foreign-{number}", json.dumps(schema)), schema)
            for number, schema in enumerate(FOREIGN_SCHEMAS)
        ]
        for number in range(count):
            topic = hostile.random.choice([*topics, codec.topic("command")])
            # Kafka itself refuses records without a key where topics are compacted.
            keyless = hostile.junk() if ".erp." in topic or ".shop." in topic else None
            entry = Entry(
                hostile.random.choice((hostile.junk(), _foreign(hostile, foreign), keyless)),
                hostile.random.choice(
                    (hostile.junk(), hostile.junk(), _foreign(hostile, foreign), None)
                ),
                [
                    (JUNK_MARK, str(number).encode()),
                    ("ce_id", hostile.junk()),
                    ("bridge_outcome", hostile.random.choice((b"", b"done", b"\xff", b"9" * 99))),
                    ("bridge_digest", hostile.junk()),
                ],
            )
            await writing.log.append(topic, [entry])
            if hostile.random.random() < 0.5:
                record = _record(hostile, number)
                target = Target(
                    "erp", "orders", hostile.json_text().encode("utf-8", "replace").decode()
                )
                await writing.log.append(
                    codec.topic("command"), [codec.entry("command", target, record)]
                )
                fed.commands.add(record.id)


def _foreign(hostile: Hostile, schemas: Sequence[tuple[int, Any]]) -> bytes:
    """A framed value that another program wrote by a schema of its own."""
    schema_id, schema = hostile.random.choice(schemas)
    body = io.BytesIO()
    random.seed(hostile.random.random())  # fastavro draws its values from there
    value = next(generate_many(schema, 1))
    fastavro.schemaless_writer(body, fastavro.parse_schema(schema), value)
    return b"\x00" + schema_id.to_bytes(4, "big") + body.getvalue()


def _record(hostile: Hostile, number: int) -> CommandRecord:
    def text() -> str:
        return hostile.text().encode("utf-8", "replace").decode()[:1000]

    return CommandRecord(
        id=f"other:{number}-{hostile.random.randrange(10**9)}",
        idempotency_key=text(),
        name=hostile.random.choice(("erp.set_order", "erp.nothing", text())),
        key=hostile.json_text(),
        args=hostile.json_text(),
        digest=text(),
        expect=hostile.random.choice((None, text())),
        agent=hostile.random.choice(("other", text())),
        agent_version=None,
        handler=text(),
        caused_by=text(),
        reason=text(),
        confidence=hostile.random.choice((None, 0.5, float("nan"))),
        deadline=None,
        requested_at=datetime(2026, 1, 1, tzinfo=UTC),
    )
