"""Records of the log as rows for programs and as lines for people. Pure."""

from __future__ import annotations

import base64
import dataclasses
import json
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from bridge.cli.output.rows import cell
from bridge.log.port import Record
from bridge.model.event import Event, Unavailable
from bridge.model.system_records import DeadLetter, SystemKey, SystemRecord, Target, TopicKind

#: Maximum characters of a single value in a line for people.
LONGEST = 80
FIRST_INSTANT, LAST_INSTANT = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, tzinfo=UTC)


def record_location(record: Record) -> dict[str, Any]:
    """A record's location, with which every JSON row begins."""
    return {
        "topic": record.topic,
        "partition": record.partition,
        "offset": record.offset,
        "timestamp": instant_of(record.timestamp),
    }


def instant_of(milliseconds: int) -> datetime:
    """A record's time; the nearest valid one if it is out of range."""
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return LAST_INSTANT if milliseconds > 0 else FIRST_INSTANT


def fields_of(row: Any, unavailable: tuple[str, ...] = ()) -> dict[str, Any] | None:
    """A row's fields by name, without those that the source did not send."""
    if row is None:
        return None
    values: dict[str, Any] = {}
    for name in row.keys():  # noqa: SIM118 - rows are no mappings
        if name in unavailable:
            continue
        try:
            values[name] = row[name]
        except Unavailable:
            continue
    return values


def event_row(record: Record, event: Event) -> dict[str, Any]:
    """A change for programs."""
    return {
        **record_location(record),
        "kind": "event",
        "entity": event.entity,
        "op": event.op,
        "key": dict(event.key),
        "before": fields_of(event.before),
        "after": fields_of(event.after, event.unavailable),
        "unavailable": list(event.unavailable),
        "position": event.position,
        "transaction": event.transaction,
        "occurred_at": event.occurred_at,
        "captured_at": event.captured_at,
        "id": event.id,
        "caused_by": event.caused_by,
        "traceparent": event.traceparent,
        "replayed": event.replayed,
    }


def system_record_row(
    record: Record, kind: TopicKind, key: SystemKey, value: SystemRecord
) -> dict[str, Any]:
    """A record of a fixed topic for programs; JSON texts in it are parsed."""
    values = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(key, Target):
        values |= {"system": key.system, "entity": key.entity}
    for name in ("key", "args", "result", "raw"):
        if isinstance(values.get(name), str):
            values[name] = parse_json_text(values[name])
    # A dead letter has a kind of its own.
    return {
        **record_location(record),
        "kind": kind,
        **({"letter_kind": values.pop("kind")} if "kind" in values else {}),
        **values,
    }


def raw_row(record: Record) -> dict[str, Any]:
    """A record of any other topic for programs: text, JSON, or base64 if it is neither."""
    return {
        **record_location(record),
        "kind": "record" if record.value is not None else "tombstone",
        "key": readable(record.key),
        "value": readable(record.value),
        "headers": {name: readable(value) for name, value in record.headers},
    }


def unreadable_row(record: Record, reason: str) -> dict[str, Any]:
    """A record that could not be decoded as its topic's type, and why."""
    return {**raw_row(record), "unreadable": reason}


def parse_json_text(text: str) -> Any:
    """The JSON that `text` holds, or the text itself."""
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return text


def readable(data: bytes | None) -> Any:
    """Bytes as JSON or text if valid, else `{"base64": ...}`."""
    if data is None:
        return None
    try:
        text = data.decode()
    except UnicodeDecodeError:
        text = ""
    if not data or (text and text.isprintable()):
        return parse_json_text(text) if text[:1] in {"{", "["} else text
    return {"base64": base64.b64encode(data).decode()}


def local_time(at: datetime) -> str:
    """A time in this machine's zone, to the millisecond; with the date unless it is today."""
    try:
        here = at.astimezone()
    except OverflowError:
        here = at
    today = datetime.now(UTC).astimezone().date()
    form = "%H:%M:%S" if here.date() == today else "%Y-%m-%d %H:%M:%S"
    return f"{here:{form}}.{here.microsecond // 1000:03}"


def age_text(at: datetime) -> str:
    """How long ago a time was, in one unit."""
    seconds = (datetime.now(UTC) - at).total_seconds()
    for unit, size in (("d", 86_400), ("h", 3600), ("m", 60)):
        if seconds >= 2 * size:
            return f"{seconds // size:.0f} {unit}"
    return f"{max(0.0, seconds):.0f} s"


def key_text(key: Any) -> str:
    """A key for people: the bare value for one field, else `a=1,b=2`."""
    if isinstance(key, str):
        key = parse_json_text(key)
    if not isinstance(key, Mapping):
        return cell(key)
    if len(key) == 1:
        return cell(next(iter(key.values())))
    return ",".join(f"{name}={cell(value)}" for name, value in key.items())


def short(value: Any) -> str:
    """A value on one line, cut if it is long."""
    text = " ".join(cell(value).split()) if not isinstance(value, str) else repr(value)[1:-1]
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"


def event_line(event: Event) -> tuple[str, str, str, str, str]:
    """A change for people: time, entity, operation, key, what changed."""
    when = local_time(event.occurred_at or event.captured_at)
    marks = [f"by {event.caused_by}"] if event.caused_by else []
    marks += ["replayed"] if event.replayed else []
    details = "  ".join([_changes_text(event), *marks])
    return when, event.entity, event.op, key_text(event.key), details


def _changes_text(event: Event) -> str:
    before, after = fields_of(event.before), fields_of(event.after, event.unavailable)
    if after is None:
        return ""
    if before is None:
        return _listed({name: value for name, value in after.items() if name not in event.key})
    changed = {name: value for name, value in after.items() if before.get(name) != value}
    return "  ".join(
        f"{name}: {short(before.get(name))} → {short(value)}" for name, value in changed.items()
    )


def _listed(values: Mapping[str, Any]) -> str:
    return "  ".join(
        f"{name}={short(value)}" for name, value in values.items() if value is not None
    )


def system_record_line(
    record: Record, kind: TopicKind, key: SystemKey, value: SystemRecord
) -> tuple[str, str, str, str, str]:
    """A record of a fixed topic for people, in the same columns as an event."""
    row = system_record_row(record, kind, key, value)
    when = local_time(row["timestamp"])
    match kind:
        case "command":
            details = {"args": row["args"], "by": row["agent"], "reason": row["reason"]}
            return (
                when,
                "command",
                row["name"],
                key_text(row["key"]),
                _listed({**details, "id": row["id"]}),
            )
        case "receipt":
            details = {"code": row["code"], "message": row["message"], "id": row["command_id"]}
            return when, "receipt", str(row["outcome"]), _target(key), _listed(details)
        case "audit":
            details = {
                "command": row["name"],
                "by": row["by"],
                "code": row["code"],
                "message": row["message"],
            }
            return when, "audit", row["state"], row["command_id"], _listed(details)
        case "approval":
            details = {"by": row["by"], "reason": row["reason"]}
            return when, "approval", row["decision"], row["command_id"], _listed(details)
        case "dead":
            assert isinstance(value, DeadLetter), "its kind says so"  # noqa: S101
            where = value.event_id or value.position or ""
            return when, "dead", value.kind, value.source, f"{value.reason}  {where}".rstrip()


def _target(key: SystemKey) -> str:
    return f"{key.system}.{key.entity} {key_text(key.key)}" if isinstance(key, Target) else key


def raw_line(record: Record, unreadable: str = "") -> tuple[str, str, str, str, str]:
    """Any other record for people, in the same columns, with the reason if it is unreadable."""
    row = raw_row(record)
    return (
        local_time(row["timestamp"]),
        record.topic,
        "tombstone" if record.value is None else f"{len(record.value)} bytes",
        short(row["key"]),
        "  ".join(
            [
                *([short(row["value"])] if record.value is not None else []),
                *([f"(unreadable: {short(unreadable)})"] if unreadable else []),
            ]
        ),
    )
