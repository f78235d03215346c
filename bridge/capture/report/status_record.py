"""How a source's capture fares: lag and the age of its progress, for people and for programs.

Topic `_{bridge}.status`, one partition, compacted, key = the source's name, value = the JSON
object of `Status`. (What processes say of their groups is in it, too, under keys with a slash.) It is a report, not a state: nothing is ever read back from it.
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
    instance: the one that reported.
    position, epoch: what is in the log.
    behind: seconds between the newest change's commit and its record (0 when idle, None when the
    source doesn't say).
    lag_bytes: what the source still holds for us.
    changes, dead: how many records and dead letters this instance has written.
    paused: entities, with reason, position, since and skipped.
    troubles: entities that can't be captured for now, and why; they continue by themselves.
    snapshots: jobs, the first one under way.
    results: of the last snapshots.
    owed: entities of which something is to be done (a snapshot, or what a pause keeps from being
    done), with `since` when nothing of it was, `reason`, and `lasting` where waiting changes nothing.
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
        """Seconds since this source last made progress (or had none to make). Where a clock was
        set back since, how far off it is: a time to come says nothing of how the source fares.
        """
        return abs(now - self.progressed_at) / MICROSECONDS_PER_SECOND

    def lag(self, now: int) -> float | None:
        """How old, in seconds, the newest change may be that isn't in the log; None where the source
        doesn't say. What it was at the last progress says nothing once that is long ago.
        """
        age = self.age(now)
        if self.behind is None or age <= TOO_OLD:
            return self.behind
        return self.behind + age

    def work(self, entities: Iterable[str] = ()) -> list[WorkProgress]:
        """The progress of this capture and of each entity; `entities` are the bare names of those
        of which nothing is to be said.
        """
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
        """What of it makes no progress although it should."""
        stalls = [find_stall(work, now, stalled_after_s) for work in self.work()]
        return [stall for stall in stalls if stall is not None]

    def healthy(self, now: int, stalled_after_s: float = STALLED_AFTER_S) -> bool:
        """Whether it makes progress, whatever its tasks look like, with every entity of it."""
        return not self.stalls(now, stalled_after_s)


def topic(bridge: str) -> TopicSpec:
    """The status topic."""
    return internal_topic_spec(bridge, STATUS)


def dump(status: SourceStatus) -> bytes:
    """The value of a status record."""
    return json.dumps(redact_messages(asdict(status)), separators=(",", ":")).encode()


LAST_MICROSECOND = 253_402_300_799_999_999
"""Of the year 9999, the last one of a datetime."""
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
"""What each field may be; None: a version that didn't have it."""
_OWED = {"since", "reason", "lasting"}


def load(value: bytes) -> SourceStatus:
    """The report in a record's value; fields of a later version are left out. Raises ValueError
    when it isn't one.
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
        raise ValueError(f"not a status report: {', '.join(wrong)} are of another type")
    maps = (*status.snapshots, *status.results, *status.paused.values(), *status.owed.values())
    if not all(isinstance(each, dict) for each in maps):
        raise ValueError("not a status report: its snapshots, results or pauses are no objects")
    owed = status.owed.values()
    if not all(type(each.get("since")) is int and each.keys() >= _OWED for each in owed):
        raise ValueError("not a status report: what it owes doesn't say since when and why")
    if not all(0 <= at <= LAST_MICROSECOND for at in (status.at, status.progressed_at)):
        raise ValueError("not a status report: its time is none of this calendar")
    return status


async def statuses(log: Log, bridge: str) -> dict[str, SourceStatus]:
    """The newest report of every source of this bridge. Records that are none are left out, with a
    warning: others may have written them, and nothing hangs on them.
    """
    partition = TopicPartition(internal_topic(bridge, STATUS), 0)
    if partition.topic not in await log.topics():
        return {}
    by_system: dict[str, SourceStatus] = {}
    for key, value in (await latest_values(log, partition, None)).items():
        if b"/" in key:
            continue  # How the groups of a process get on: `bridge.wiring.group_reports`.
        try:
            by_system[key.decode()] = load(value)
        except ValueError as error:
            _log.warning("a record of %s is left out: %s", partition.topic, error)
    return by_system
