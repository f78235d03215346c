"""Records of the topics that every bridge has, and their Avro bytes (unframed).

The schemas are the files of `schemas/`; each dataclass has the same field names, so one table
suffices. `bridge.log.system_topics` adds the registry's frame and the headers.
"""

from __future__ import annotations

import io
import json
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from functools import cache
from typing import Any, Final, Literal, NamedTuple, get_args

import fastavro

from bridge.model.canonical import canonical_json, instant_text
from bridge.model.command import CommandRecord
from bridge.model.names import APPROVALS, AUDIT, COMMANDS, DEAD, RECEIPTS
from bridge.model.receipt import Outcome, Receipt
from bridge.model.redaction import redact
from bridge.resources import data_folder

TopicKind = Literal["command", "receipt", "approval", "audit", "dead"]
TOPIC_KINDS: Final[tuple[TopicKind, ...]] = get_args(TopicKind)


class Target(NamedTuple):
    """The target of a command, which is the log key of commands and receipts; `key` is canonical
    JSON.
    """

    system: str
    entity: str
    key: str


@dataclass(frozen=True, slots=True)
class ApprovalRecord:
    """One person's decision about a command; field by field `schemas/approval.avsc`."""

    command_id: str
    decision: Literal["unknown_decision", "approve", "deny"]
    by: str
    digest: str
    at: datetime
    version: str | None = None
    reason: str | None = None
    expires_at: datetime | None = None


@dataclass(frozen=True, slots=True)
class AuditRecord:
    """One transition of a command; same fields as `schemas/audit.avsc`.

    `state` is one of `bridge.model.receipt.State` (or a later version's); `by`: who caused it.
    """

    command_id: str
    name: str
    state: str
    by: str
    at: datetime
    code: str | None = None
    message: str | None = None
    digest: str | None = None
    version: str | None = None


RELEASED: Final = "Released"
"""`DeadLetter.error` of the record with which an operator releases a parked key."""


@dataclass(frozen=True, slots=True)
class DeadLetter:
    """A record that was dead-lettered so that the rest continues; same fields as
    `schemas/dead.avsc`.

    `source` is `system.entity` or an agent; `reason` a sentence, `error` the class's name;
    `traceback` where in a handler it was raised, without values; `raw` JSON text without masked
    columns; `value` framed bytes as in `topic`.

    `key`: of an event or a command its framed bytes as in `topic`. Of a row or a record the bytes
    that the row's key has in its change topic: what the log holds of that key is in doubt until a
    whole row or a delete of it follows. A change of the key leaves two letters: of the old key, at
    the position of the delete that wasn't written, and of the new one, at that of the create. None:
    the key can't be made, or is too long for a letter; then any row of `source` may be meant, and
    all of them are in doubt until the entity was compared.
    """

    kind: Literal["unknown_kind", "row", "record", "event", "command"]
    source: str
    reason: str
    at: datetime
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    position: str | None = None
    event_id: str | None = None
    handler: str | None = None
    error: str | None = None
    attempts: int = 1
    raw: str | None = None
    key: bytes | None = None
    value: bytes | None = None
    traceback: str | None = None


SystemRecord = CommandRecord | Receipt | ApprovalRecord | AuditRecord | DeadLetter
SystemKey = Target | str


@dataclass(frozen=True, slots=True)
class SystemTopic:
    """One kind: its topic's name, the files of its schemas, the class of its values."""

    topic: str
    key_file: str
    value_file: str
    record: type[SystemRecord]


SYSTEM_TOPICS: Final[dict[TopicKind, SystemTopic]] = {
    "command": SystemTopic(COMMANDS, "target", "command", CommandRecord),
    "receipt": SystemTopic(RECEIPTS, "target", "receipt", Receipt),
    "approval": SystemTopic(APPROVALS, "command_id", "approval", ApprovalRecord),
    "audit": SystemTopic(AUDIT, "command_id", "audit", AuditRecord),
    "dead": SystemTopic(DEAD, "source", "dead", DeadLetter),
}


def target(system: str, entity: str, key: Any) -> Target:
    """The target whose key is this mapping of key fields to values."""
    return Target(system, entity, canonical_json(dict(key)))


_SENTENCES: Final[dict[TopicKind, tuple[str, ...]]] = {
    "receipt": ("message",),
    "audit": ("message",),
    "dead": ("reason", "error", "traceback"),
}
"""Fields that contain messages of servers and libraries; texts of people and agents are not
redacted.
"""


@cache
def _schema(file: str) -> Any:
    return json.loads((data_folder("schemas") / f"{file}.avsc").read_text(encoding="utf-8"))


@cache
def _parsed(file: str) -> Any:
    return fastavro.parse_schema(_schema(file))


def schema_texts(topic_kind: TopicKind) -> tuple[str, str]:
    """The schema texts to register for keys and for values: the files without blanks."""
    fixed = SYSTEM_TOPICS[topic_kind]
    key, value = (
        json.dumps(_schema(file), separators=(",", ":"), ensure_ascii=False)
        for file in (fixed.key_file, fixed.value_file)
    )
    return key, value


def _written(schema: Any, value: Any) -> bytes:
    out = io.BytesIO()
    fastavro.schemaless_writer(out, schema, value, strict=True)
    return out.getvalue()


def encode_key(topic_kind: TopicKind, key: SystemKey) -> bytes:
    """Avro bytes of a key: a Target for commands and receipts, text for the others."""
    value = key._asdict() if isinstance(key, Target) else key
    return _written(_parsed(SYSTEM_TOPICS[topic_kind].key_file), value)


def decode_key(topic_kind: TopicKind, data: bytes) -> SystemKey:
    """The key that these Avro bytes hold. Key schemas never evolve."""
    read = fastavro.schemaless_reader(
        io.BytesIO(data), _parsed(SYSTEM_TOPICS[topic_kind].key_file), None
    )
    return Target(**read) if isinstance(read, dict) else str(read)


def encode(topic_kind: TopicKind, value: SystemRecord) -> bytes:
    """Avro bytes of a record. Raises ValueError, TypeError or OverflowError when it isn't of that
    kind.
    """
    fixed = SYSTEM_TOPICS[topic_kind]
    if not isinstance(value, fixed.record):
        raise TypeError(
            f"a {topic_kind} is a {fixed.record.__name__}, not a {type(value).__name__}"
        )
    row = {field.name: getattr(value, field.name) for field in fields(value)}
    for name, content in row.items():
        if isinstance(content, datetime):
            row[name] = _in_utc(name, content)
    _redact(topic_kind, row)
    return _written(_parsed(fixed.value_file), row)


def _redact(topic_kind: TopicKind, row: dict[str, Any]) -> None:
    """Remove secrets from the bridge's own messages, whichever version wrote them."""
    for name in _SENTENCES.get(topic_kind, ()):
        if row.get(name):
            row[name] = redact(row[name])


def _in_utc(name: str, value: datetime) -> datetime:
    """The time in UTC. Without a zone it would be interpreted as this machine's time; out of range,
    it could be written but never read. Raises ValueError, OverflowError.
    """
    if value.utcoffset() is None:
        raise ValueError(f"{name} is a time without a zone")
    return value.astimezone(UTC)


def decode(topic_kind: TopicKind, data: bytes, writer: Any = None) -> SystemRecord:
    """The record that these Avro bytes hold; `writer` the parsed schema that wrote them."""
    fixed = SYSTEM_TOPICS[topic_kind]
    reader = _parsed(fixed.value_file)
    row: Any = fastavro.schemaless_reader(io.BytesIO(data), writer or reader, reader)
    _redact(topic_kind, row)
    if topic_kind == "receipt":
        row["outcome"] = Outcome(row["outcome"])
    return fixed.record(**row)


def cloud_event(value: SystemRecord) -> tuple[str, datetime]:
    """The CloudEvents id, unique within its topic, and the time of a record."""
    match value:
        case CommandRecord():
            return value.id, value.requested_at
        case Receipt():
            return value.command_id, value.finished_at
        case ApprovalRecord():
            return f"{value.command_id}/{value.by}/{instant_text(value.at)}", value.at
        case AuditRecord():
            return f"{value.command_id}/{value.state}/{instant_text(value.at)}", value.at
        case DeadLetter():
            origin = value.event_id or value.position or f"{value.partition}-{value.offset}"
            return f"{value.source}/{origin}/{instant_text(value.at)}", value.at
