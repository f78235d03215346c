"""An event as JSON shows it."""

from __future__ import annotations

from typing import Any

from bridge.model.event import Event, Unavailable


def event_json(event: Event) -> dict[str, Any]:
    """An event as JSON shows it; rows without the fields that weren't sent."""
    return {
        "topic": event.topic,
        "partition": event.partition,
        "offset": event.offset,
        "id": event.id,
        "entity": event.entity,
        "op": event.op,
        "key": dict(event.key),
        "before": _row_json(event.before),
        "after": _row_json(event.after),
        "unavailable": list(event.unavailable),
        "position": event.position,
        "transaction": event.transaction,
        "occurred_at": event.occurred_at,
        "captured_at": event.captured_at,
        "caused_by": event.caused_by,
    }


def _row_json(row: Any) -> dict[str, Any] | None:
    if row is None:
        return None
    values: dict[str, Any] = {}
    for name in row.keys():  # noqa: SIM118 - a row is no mapping of its own
        try:
            values[name] = row[name]
        except Unavailable:
            continue
    return values
