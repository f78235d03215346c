"""What a log and a legacy database hold, in a form that two runs of the same story share.

Read by sqlite3 and fastavro alone. What every run has for itself (times, random ids) is masked.
"""

from __future__ import annotations

import base64
import io
import json
import re
import sqlite3
from contextlib import closing
from datetime import datetime
from pathlib import Path
from typing import Any

import fastavro

from tests.torture import log_reader as independent_reader

CHANGE_TOPICS = ("erp.sales_order", "erp.order_line", "erp.customer")
SYSTEM_TOPICS = ("commands", "receipts", "audit", "dead", "approvals", "seals")
TIME_TEXT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z")
PROCESS_NAME = re.compile(r"\b[\w.-]+-\d+-[0-9a-f]{6}\b")
AGENT_FILE = re.compile(r'"[^"]*/agents/')
RANDOM_ID = re.compile(r"^[0-9a-f]{12}([0-9a-f]{4})?$")
#: Microseconds or milliseconds since 1970; no number of the ERP comes near.
FIRST_TIMESTAMP = 10**12


def log_content(path: Path, bridge: str) -> dict[str, Any]:
    """Topic -> key -> its records in order, with schema ids, headers and decoded values."""
    schemas = schemas_by_id(path, f"_{bridge}.schemas")
    return {
        topic: records_by_key(independent_reader.embedded(path, f"{bridge}.{topic}"), schemas)
        for topic in (*CHANGE_TOPICS, *SYSTEM_TOPICS)
    }


def schemas_by_id(path: Path, topic: str) -> dict[int, Any]:
    """The registry's schemas."""
    return independent_reader.schemas_of(independent_reader.embedded(path, topic))


def records_by_key(records: list[Any], schemas: dict[int, Any]) -> dict[str, list[Any]]:
    """The records of each key in order; partitions are part of the key, offsets are not: what two
    keys do side by side may be committed in either order.
    """
    by_key: dict[str, list[Any]] = {}
    for partition, _, key, value, headers in sorted(records, key=lambda record: record[:2]):
        by_key.setdefault(f"{partition} {avro_text(key, schemas)}", []).append(
            {
                "value": avro_value(value, schemas),
                "headers": {name: masked(text.decode()) for name, text in sorted(headers.items())},
            }
        )
    return by_key


def avro_text(data: bytes | None, schemas: dict[int, Any]) -> str:
    """A key as text."""
    return json.dumps(avro_value(data, schemas), sort_keys=True)


def avro_value(data: bytes | None, schemas: dict[int, Any]) -> Any:
    """Schema id and decoded value; text where it is no Avro."""
    if data is None:
        return None
    if data[:1] != b"\0":
        return data.decode()
    number = int.from_bytes(data[1:5], "big")
    value = fastavro.schemaless_reader(io.BytesIO(data[5:]), schemas[number], None)
    return {"schema": number, **masked(value)} if isinstance(value, dict) else masked(value)


def masked(value: Any) -> Any:
    """A value as JSON, without times."""
    if isinstance(value, dict):
        return {str(name): masked(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [masked(item) for item in value]
    if isinstance(value, datetime):
        return "<time>"
    if isinstance(value, str):
        text = PROCESS_NAME.sub("<process>", TIME_TEXT.sub("<time>", value))
        return AGENT_FILE.sub('"<agents>/', RANDOM_ID.sub("<id>", text))
    if isinstance(value, bytes):
        # A whole record within a dead letter, with its times.
        return f"<{len(value)} bytes>"
    if isinstance(value, int) and value > FIRST_TIMESTAMP:
        return "<time>"
    return value if isinstance(value, (int, float, bool, type(None))) else str(value)


def checkpoint(path: Path, bridge: str) -> dict[str, Any]:
    """The newest checkpoint record."""
    records = independent_reader.embedded(path, f"_{bridge}.positions")
    newest = json.loads(max(records, key=lambda record: record[1])[3] or b"")
    connector_state = json.loads(base64.b64decode(newest["checkpoint"]))
    # How much was acknowledged when it was written is a matter of time.
    assert connector_state[2] <= connector_state[1]
    connector_state[2] = "<acknowledged>"
    content: dict[str, Any] = masked({**newest, "checkpoint": connector_state})
    return content


def whole_content(folder: Path) -> dict[str, Any]:
    """All of it, of a bridge called `demo`."""
    log = folder / "var" / "bridge.db"
    return {
        "log": log_content(log, "demo"),
        "checkpoint": checkpoint(log, "demo"),
        "names": names_in_log(log),
        "legacy": legacy_content(folder / "var" / "erp.db"),
    }


def names_in_log(path: Path) -> dict[str, Any]:
    """Topics with their settings, producers and groups with what they have read."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        return {
            "schema": sorted(
                row[0] for row in db.execute("select sql from sqlite_master") if row[0]
            ),
            "topics": [list(row) for row in db.execute("select * from topic order by name")],
            "producers": [row[0] for row in db.execute("select name from producer order by name")],
            "groups": [
                row[0] for row in db.execute("select name from consumer_group order by name")
            ],
            "unread": [
                list(row)
                for row in db.execute(
                    "select consumer_group, topic, number, partition.next - committed.next "
                    "from committed join partition on partition = partition.id "
                    "where committed.next < partition.next order by 1, 2, 3"
                )
            ],
        }


def legacy_content(path: Path) -> dict[str, Any]:
    """Tables and triggers as they were made, the ledger's rows and the ERP's."""
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as db:
        tables = [
            row[0] for row in db.execute("select name from sqlite_master where type = 'table'")
        ]
        # How much of what was captured is purged already is a matter of time.
        tables.remove("bridge_journal")
        return {
            "schema": sorted(
                row[0] for row in db.execute("select sql from sqlite_master") if row[0]
            ),
            "rows": {
                table: [
                    masked(list(row)) for row in db.execute(f"select * from {table} order by 1")
                ]
                for table in sorted(tables)
            },
        }
