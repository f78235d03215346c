"""What the gateway reports: reads of systems."""

from __future__ import annotations

from dataclasses import dataclass


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
class Throttled:
    """A system asked for a pause of `seconds`; no read of it starts before its end."""

    system: str
    seconds: float
    reason: str


@dataclass(frozen=True, slots=True)
class AnswerAudited:
    """An answer of a copy was compared with the legacy system.

    entity: `system.entity`. verdict: a `AuditVerdict` of the audit. reason: for people; empty where
    nothing is wrong.
    """

    entity: str
    verdict: str
    reason: str
