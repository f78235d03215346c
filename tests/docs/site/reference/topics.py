"""Topics of a bridge, and the records in them."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from bridge.log.port import TopicSpec
from bridge.log.topic_specs import (
    change_topic_spec,
    internal_topic_spec,
    replay_topic_spec,
    system_topic_spec,
)
from bridge.model.avro import Schema, change_schema
from bridge.model.names import (
    CONTROL,
    COPIED,
    GATEWAYS,
    POSITIONS,
    REPLAYS,
    SCHEMA_IDS,
    SCHEMAS,
    STATUS,
    SYSTEM_TOPICS,
)
from bridge.model.types import Entity, Field, FieldType
from tests.docs.pages import ROOT
from tests.docs.site.reference.table import code, plain, table

HEAD = """# Events and topics

Made from the specifications by which topics are created, and from the schemas of records. What a log promises
and how records are written: [the log](../log.md); who may write which topic, and what that gives them:
[authority](../authority.md). `BRIDGE` stands for the bridge's name.
"""
EVENT = Entity("system", "entity", ("id",), (Field("id", FieldType("integer")),))
"""Any entity: what every event has in common."""


def topics_page() -> str:
    """The whole page."""
    head = ("topic", "cleanup", "partitions", "kept")
    rows = [
        (code(spec.name), spec.cleanup, str(spec.partitions or "as configured"), _kept(spec))
        for spec in topic_specs()
    ]
    return "\n\n".join([HEAD, "## Topics", table(head, rows), *_records()]) + "\n"


def topic_specs() -> Iterator[TopicSpec]:
    """Every topic that a bridge may have, one of each kind."""
    yield change_topic_spec("BRIDGE", "system.entity", 0)
    for name in sorted(SYSTEM_TOPICS):
        yield system_topic_spec("BRIDGE", name)
    for name in (POSITIONS, STATUS, CONTROL, SCHEMAS, SCHEMA_IDS, COPIED, REPLAYS, GATEWAYS):
        yield internal_topic_spec("BRIDGE", name)
    yield replay_topic_spec("BRIDGE", "AGENT")


def _kept(spec: TopicSpec) -> str:
    if spec.cleanup == "compact":
        text = "the last record of each key"
        return text if spec.history_ms is None else f"every record for `history`, then {text}"
    return "for ever" if spec.retention_ms is None else f"{spec.retention_ms // 86_400_000} days"


def _records() -> Iterator[str]:
    yield from _record(
        change_schema(EVENT), "An event: the value of each record of a change topic."
    )
    for path in sorted((ROOT / "schemas").glob("*.avsc")):
        schema = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(schema, dict):
            yield from _record(schema, schema.get("doc", ""))


def _record(schema: Schema, text: str) -> Iterator[str]:
    yield f"## {schema['name']}"
    yield plain(text)
    rows = [
        (code(field["name"]), _type(field["type"]), plain(field.get("doc", "")))
        for field in schema["fields"]
    ]
    yield table(("field", "type", "meaning"), rows)


def _type(schema: Any) -> str:
    """An Avro type in a few words."""
    if isinstance(schema, list):
        inner = " or ".join(_type(each) for each in schema if each != "null")
        return f"{inner}, or null" if "null" in schema else inner
    if isinstance(schema, str):
        return schema
    if "symbols" in schema:
        return ", ".join(code(symbol) for symbol in schema["symbols"])
    if schema["type"] in ("array", "map"):
        return f"{schema['type']} of {_type(schema.get('items', schema.get('values')))}"
    return str(schema.get("logicalType") or schema.get("name") or schema["type"])
