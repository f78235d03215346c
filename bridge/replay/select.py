"""Which events of a topic are meant: pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from bridge.log.port import Record, TopicSpec
from bridge.model.canonical import canonical_json, plain
from bridge.model.event import Event, Unavailable


@dataclass(frozen=True, slots=True)
class Selection:
    """Events of one change topic. What isn't given doesn't filter.

    `since` (included) and `until` (not included) are milliseconds since 1970 and mean the time in
    the log; `offset` the first offset, of every partition; `keys` texts as people write them: a
    bare value, or JSON of the key fields; `where` fields of the row and the texts of their values.
    """

    topic: str
    since: int | None = None
    until: int | None = None
    offset: int | None = None
    keys: frozenset[str] = frozenset()
    ops: frozenset[str] = frozenset()
    where: Mapping[str, str] = field(default_factory=dict)

    def in_time(self, record: Record) -> bool:
        """Whether the record's place and time fit."""
        return (
            (self.since is None or record.timestamp >= self.since)
            and (self.until is None or record.timestamp < self.until)
            and (self.offset is None or record.offset >= self.offset)
        )

    def fits(self, event: Event) -> bool:
        """Whether the event's operation, key and fields fit. A field that wasn't sent doesn't."""
        if self.ops and event.op not in self.ops:
            return False
        if self.keys and not self.keys.intersection(key_texts(event.key)):
            return False
        row = event.after if event.after is not None else event.before
        return all(_text_of(row, name) == text for name, text in self.where.items())

    @property
    def by_content(self) -> bool:
        """Whether an event's content matters, so that a tombstone can't tell if it is meant."""
        return bool(self.ops or self.where)


def key_texts(key: Mapping[str, Any]) -> set[str]:
    """The ways to write a key: JSON of its fields, and the bare value where it has one field."""
    texts = {canonical_json(dict(key))}
    if len(key) == 1:
        texts.add(_shown(next(iter(key.values()))))
    return texts


def _text_of(row: Any, name: str) -> str | None:
    try:
        return None if row is None else _shown(row[name])
    except (Unavailable, KeyError):
        return None


def _shown(value: Any) -> str:
    value = plain(value)
    return value if isinstance(value, str) else canonical_json(value)


def incomplete(spec: TopicSpec, earliest: int | None, now: int) -> str:
    """Why events may be missing from a replay that reaches back to `earliest` ("": none are).

    Times in milliseconds since 1970; `earliest` None: further than can be told.
    """
    if spec.cleanup != "compact":
        return ""
    if spec.history_ms is None:
        return f"{spec.name} keeps only the last event of each key"
    if earliest is not None and earliest >= now - spec.history_ms:
        return ""
    days = spec.history_ms / 86_400_000
    return (
        f"the replay reaches further back than the history of {days:g} days that {spec.name} keeps: "
        "from before then only the last event of each key may be there"
    )
