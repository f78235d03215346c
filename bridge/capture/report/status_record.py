"""The status of a source's capture, lag and age of its progress, for people and for programs.

Topic `_{bridge}.status`, one partition, compacted, key = the source's name, value = the JSON
object of `Status`. (It also holds the processes' reports about their groups, under keys with a
slash.) It is a report, not state: capture never reads it back.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from types import NoneType
from typing import Any, Final

from bridge.capture.checkpoint.store import latest_values
from bridge.log.port import Log, TopicPartition, TopicSpec
from bridge.log.topic_specs import internal_topic_spec
from bridge.model.error_text import error_message
from bridge.model.names import STATUS, internal_topic
from bridge.model.redacted_messages import redact_messages
from bridge.model.work_progress import (
    CAPTURE_SILENT_AFTER_S,
    STALLED_AFTER_S,
    Stall,
    WorkProgress,
    find_stall,
)

_log = logging.getLogger(__name__)
MICROSECONDS_PER_SECOND: Final = 1_000_000
TOO_OLD: Final = CAPTURE_SILENT_AFTER_S


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """One source at one time, as its status record has it. Times in microseconds since 1970 UTC.

    system: its name.
    state: `starting`, `streaming`, `retrying` or `stopped`.
    at: when it was reported.
    progressed_at: when the source was last read without a failure and everything read was in the log.
    reason: of `retrying` and `stopped`.
    instance: the reporting one.
    position, epoch: what is in the log.
    behind: seconds between the newest change's commit and its record (0 when idle, None if the
    source doesn't report commit times).
    lag_bytes: how much the source still retains for us.
    changes, dead: how many records and dead letters this instance has written.
    paused: entities, with reason, position, since and skipped.
    troubles: entities that can't be captured now, and why; they resume by themselves.
    snapshots: jobs; the first one is running.
    results: of the last snapshots.
    owed: entities with outstanding work (a snapshot, or work blocked by a pause), with `since` when
    there was no progress, `reason`, and `lasting` if waiting doesn't help.
    remarks: entities whose capture is slower or costs more than it could, and why.
    """

    system: str
    state: str
    at: int
    progressed_at: int
    reason: str = ""
    instance: str = ""
    position: str = ""
    epoch: int = 0
    behind: float | None = None
    lag_bytes: int | None = None
    changes: int = 0
    dead: int = 0
    paused: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    troubles: Mapping[str, str] = field(default_factory=dict)
    snapshots: tuple[Mapping[str, Any], ...] = ()
    results: tuple[Mapping[str, Any], ...] = ()
    owed: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    remarks: Mapping[str, str] = field(default_factory=dict)

    def age(self, now: int) -> float:
        """Seconds since this source last made progress (or had none to make). If a clock was set
        back since, its offset: a time in the future says nothing about the source.
        """
        return abs(now - self.progressed_at) / MICROSECONDS_PER_SECOND

    def lag(self, now: int) -> float | None:
        """Upper bound in seconds of the age of changes that aren't in the log yet; None if the
        source doesn't report commit times. Without recent progress, the time since then is added.
        """
        age = self.age(now)
        if self.behind is None or age <= TOO_OLD:
            return self.behind
        return self.behind + age

    def work(self, entities: Iterable[str] = ()) -> list[WorkProgress]:
        """The progress of this capture and of each entity except `entities` (bare names)."""
        stopped = self.state == "stopped" and bool(self.reason)
        since = self.progressed_at
        names = dict.fromkeys((*entities, *self.owed, *self.paused, *self.troubles))
        return [
            WorkProgress("capture", self.system, since, since, self.reason, stopped),
            *map(self._entity_work, names),
        ]

    def _entity_work(self, name: str) -> WorkProgress:
        qualified, owed = f"{self.system}.{name}", self.owed.get(name)
        if owed is not None:
            since = int(owed["since"])
            lasting = bool(owed["lasting"])
            return WorkProgress("entity", qualified, since, since, str(owed["reason"]), lasting)
        if name in self.paused or name in self.troubles:
            # Reported by an earlier version.
            reason = self.troubles.get(name) or str(self.paused[name].get("reason", ""))
            since = self.progressed_at
            return WorkProgress("entity", qualified, since, since, reason, lasting=True)
        return WorkProgress("entity", qualified, self.progressed_at)

    def stalls(self, now: int, stalled_after_s: float = STALLED_AFTER_S) -> list[Stall]:
        """The parts of it that make no progress although they should."""
        stalls = [find_stall(work, now, stalled_after_s) for work in self.work()]
        return [stall for stall in stalls if stall is not None]

    def healthy(self, now: int, stalled_after_s: float = STALLED_AFTER_S) -> bool:
        """Whether it and all of its entities make progress, whatever state its tasks are in."""
        return not self.stalls(now, stalled_after_s)


def topic(bridge: str) -> TopicSpec:
    """The status topic."""
    return internal_topic_spec(bridge, STATUS)


def dump(status: SourceStatus) -> bytes:
    """The value of a status record."""
    return json.dumps(redact_messages(asdict(status)), separators=(",", ":")).encode()


LAST_MICROSECOND = 253_402_300_799_999_999
"""The year 9999, the last one of a datetime."""
_TEXT, _WHOLE, _LATER = (str, NoneType), (int, NoneType), (int, float, NoneType)
_KINDS: Mapping[str, tuple[type, ...]] = {
    "system": (str,),
    "state": (str,),
    "at": (int,),
    "progressed_at": (int,),
    "reason": _TEXT,
    "instance": _TEXT,
    "position": _TEXT,
    "epoch": _WHOLE,
    "behind": _LATER,
    "lag_bytes": _WHOLE,
    "changes": _WHOLE,
    "dead": _WHOLE,
    "paused": (dict, NoneType),
    "troubles": (dict, NoneType),
    "owed": (dict, NoneType),
    "remarks": (dict, NoneType),
}
"""The allowed types of each field; None: a version that didn't have it."""
_OWED = {"since", "reason", "lasting"}


def load(value: bytes) -> SourceStatus:
    """The report in a record's value; fields of a later version are ignored. Raises ValueError if
    it isn't a report.
    """
    try:
        document = json.loads(value)
        fields = {
            name: document[name]
            for name in SourceStatus.__dataclass_fields__
            if document.get(name) is not None
        }
        for name in ("snapshots", "results"):
            fields[name] = tuple(fields.get(name, ()))
        status = SourceStatus(**fields)
    except Exception as error:
        raise ValueError(f"not a status report: {error_message(error, 200)}") from error
    if wrong := [name for name, kinds in _KINDS.items() if type(fields.get(name)) not in kinds]:
        raise ValueError(f"not a status report: {', '.join(wrong)} have the wrong type")
    maps = (*status.snapshots, *status.results, *status.paused.values(), *status.owed.values())
    if not all(isinstance(each, dict) for each in maps):
        raise ValueError("not a status report: its snapshots, results or pauses are not objects")
    owed = status.owed.values()
    if not all(type(each.get("since")) is int and each.keys() >= _OWED for each in owed):
        raise ValueError("not a status report: an `owed` entry has no `since` or `reason`")
    if not all(0 <= at <= LAST_MICROSECOND for at in (status.at, status.progressed_at)):
        raise ValueError("not a status report: its time is out of range")
    return status


async def statuses(log: Log, bridge: str) -> dict[str, SourceStatus]:
    """The newest report of every source of this bridge. Other records are skipped with a warning:
    another program may have written them, and nothing depends on them.
    """
    partition = TopicPartition(internal_topic(bridge, STATUS), 0)
    if partition.topic not in await log.topics():
        return {}
    by_system: dict[str, SourceStatus] = {}
    for key, value in (await latest_values(log, partition, None)).items():
        if b"/" in key:
            continue  # The report of a process's groups: `bridge.wiring.group_reports`.
        try:
            by_system[key.decode()] = load(value)
        except ValueError as error:
            _log.warning("a record of %s is skipped: %s", partition.topic, error)
    return by_system
