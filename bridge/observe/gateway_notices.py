"""What the gateway reports: reads of systems."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class RowsRead:
    """The gateway answered reads of one entity.

    reads: rows that were requested; queries: how many queries that took
    """

    system: str
    entity: str
    reads: int
    queries: int
    seconds: float


@dataclass(frozen=True, slots=True)
class PeersRead:
    """The gateway read rows for peers of one that was asked for, or answered reads with such rows.

    loaded: keys that nobody had asked for yet; the queries that took and the reads of `RowsRead`
    contain them. served: reads that were answered without a query.
    """

    system: str
    entity: str
    loaded: int
    served: int


@dataclass(frozen=True, slots=True)
class Throttled:
    """A system asked for a pause of `seconds`; no read of it starts before its end."""

    system: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class ReadQueued:
    """A query of a system waited for its start for `seconds`, because of the system's limits.

    work: its class: commands, agents, surfaces or replay.
    """

    system: str
    work: str
    seconds: float


ReadRefusal = Literal["deadline", "shed", "pause", "unavailable", "limit", "full", "budget"]


@dataclass(frozen=True, slots=True)
class ReadRefused:
    """A query, or a read by its agent's budget, was refused and not sent.

    work: its class. cause: it can't start before its deadline; too many wait too long; the system
    asked for a pause; the system is unavailable; it exceeds a limit by itself; no more may wait; its
    agent's budget is used up. reason: as whoever asked was told.
    """

    system: str
    work: str
    cause: ReadRefusal
    reason: str


@dataclass(frozen=True, slots=True)
class BreakerMoved:
    """A system was found unavailable, so that it is sent nothing but probes (`open`), or answers
    again (`closed`).

    failures: in a row; wait_s: until the next probe
    """

    system: str
    state: Literal["open", "closed"]
    failures: int = 0
    reason: str = ""
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class AnswerAudited:
    """An answer of a copy was compared with the legacy system.

    entity: `system.entity`. verdict: a `AuditVerdict` of the audit. reason: for people; empty where
    nothing is wrong.
    """

    entity: str
    verdict: str
    reason: str


@dataclass(frozen=True, slots=True)
class ViewMoved:
    """The view of a system is in another phase, or has progressed in it.

    phase: off, opening, building, catching up or ready; reason: why, where there is something to say
    share: of what has to be read until it is ready, 0 to 1; rows: changes applied so far, rate: of
    them per second
    """

    system: str
    phase: str
    share: float
    rows: int
    rate: float
    reason: str = ""


@dataclass(frozen=True, slots=True)
class RecordDistrusted:
    """A gateway's copy can't read a record: something else wrote it, or another version. Until it is
    proved otherwise the row whose key it has, or the entity where it has none, is read live.

    location: topic, partition and offset
    records: how many there were of this topic since the last notice, this one included
    """

    system: str
    location: str
    reason: str
    records: int = 1


@dataclass(frozen=True, slots=True)
class ReadsOwned:
    """This process owns the reads of a system from now on, and answers others.

    generation: larger than that of every owner before. connections: that it may open: the limit less
    sessions of others that it can't end.
    """

    system: str
    address: str
    generation: int
    connections: int
