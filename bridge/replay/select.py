"""Which events of a topic are meant: pure."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import date, datetime, time
from decimal import Decimal
from typing import Any
from uuid import UUID

from bridge.log.port import Record, TopicSpec
from bridge.model.canonical import canonical_json, plain
from bridge.model.errors import Rejected
from bridge.model.event import Event, Unavailable


@dataclass(frozen=True, slots=True)
class Selection:
    """Events of one change topic. What isn't given doesn't filter.

    `since` (included) and `until` (not included) are milliseconds since 1970 and mean the time in
    the log; `offset` the first offset, of every partition; `keys` texts as people write them: a
    bare value, or JSON of the key fields; `where` fields of the row and their values, or texts that
    are read as the type of the value in the row: 1.5 equals 1.50, an instant is one in any zone.
    """

    topic: str
    since: int | None = None
    until: int | None = None
    offset: int | None = None
    keys: frozenset[str] = frozenset()
    ops: frozenset[str] = frozenset()
    where: Mapping[str, Any] = field(default_factory=dict)

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
        row = row_of(event)
        return all(_has(row, name, value) for name, value in self.where.items())

    @property
    def by_content(self) -> bool:
        """Whether an event's content matters, so that a tombstone can't tell if it is meant."""
        return bool(self.ops or self.where)

    def fingerprint(self) -> dict[str, Any]:
        """What a replay records of its selection, so that it isn't continued with another one."""
        chosen = {
            "topic": self.topic,
            "keys": sorted(self.keys),
            "ops": sorted(self.ops),
            "where": {name: _comparable_text(value) for name, value in self.where.items()},
        }
        digest = hashlib.sha256(canonical_json(chosen).encode()).hexdigest()[:16]
        return {"selection": digest, "since": self.since, "offset": self.offset}

    def continuing(self, fingerprint: Mapping[str, Any], replay: str) -> Selection:
        """The selection of the run that continues the one which noted `mark`: it begins where that
        one began, wherever it stopped. `replay` is what people call it.

        Raises Rejected (`other_selection`) where that would leave out events.
        """
        if fingerprint.get("selection") != self.fingerprint()["selection"]:
            raise Rejected(
                "other_selection",
                f"{replay} was begun for other keys, operations or conditions, or another topic: "
                "continuing it would leave events out; use another name or file",
            )
        for name, begin in (("since", self.since), ("offset", self.offset)):
            noted = fingerprint.get(name)
            if noted is not None and (begin is None or begin < noted):
                raise Rejected(
                    "other_selection",
                    f"{replay} was begun with a later --{name}: continuing it would leave out what "
                    "is older; use another name or file",
                )
        return replace(self, since=fingerprint.get("since"), offset=fingerprint.get("offset"))


def row_of(event: Event) -> Any:
    """The row that a condition is about; None where the event has none."""
    return event.after if event.after is not None else event.before


def key_texts(key: Mapping[str, Any]) -> set[str]:
    """The ways to write a key: JSON of its fields, and the bare value where it has one field."""
    texts = {canonical_json(dict(key))}
    if len(key) == 1:
        texts.add(_comparable_text(next(iter(key.values()))))
    return texts


def _has(row: Any, name: str, wanted: Any) -> bool:
    try:
        value = None if row is None else row[name]
    except (Unavailable, KeyError):
        return False
    if value is None:
        return row is not None and (wanted is None or wanted == "null")
    if isinstance(wanted, str) and not isinstance(value, str):
        try:
            wanted = _read_as(value, wanted)
        except (ValueError, ArithmeticError):
            return False
    return bool(value == wanted) or _comparable_text(value) == _comparable_text(wanted)


def _read_as(sample: Any, text: str) -> Any:
    """`text` as a value of the sample's type; itself where there is no better form."""
    if isinstance(sample, bool):
        return {"true": True, "false": False}.get(text.strip().lower(), text)
    if isinstance(sample, datetime):
        return _timestamp(text, local=sample.tzinfo is None)
    for kind, read in _READ:
        if isinstance(sample, kind):
            return read(text)
    return text


def _timestamp(text: str, *, local: bool) -> datetime:
    """As elsewhere on the command line: an instant without a zone is one of this machine's. `local`:
    the field is a local time, which has none.
    """
    timestamp = datetime.fromisoformat(text)
    return timestamp if local or timestamp.tzinfo else timestamp.astimezone()


_READ: tuple[tuple[type, Callable[[str], Any]], ...] = (
    (int, Decimal),
    (Decimal, Decimal),
    (float, float),
    (date, date.fromisoformat),
    (time, time.fromisoformat),
    (UUID, UUID),
    (bytes, bytes.fromhex),
)


def _comparable_text(value: Any) -> str:
    value = plain(value)
    return value if isinstance(value, str) else canonical_json(value)


def incomplete_reason(spec: TopicSpec, earliest: int | None, now: int) -> str:
    """Why events may be missing from a replay that reaches back to `earliest` ("": none are).

    Times in milliseconds since 1970; `earliest` None: unknown, so as far as possible.
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
