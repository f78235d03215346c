"""How a system's protection stands, for reports."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

from bridge.gateway.limits.circuit_breaker import BreakerState


class AdmissionState(NamedTuple):
    """in_use, connections: of queries that run, and how many may run now; most: without refusals.
    waiting: queries by their class, those that wait for their next start on a connection among them.
    refused: queries by the cause, since the start.
    paused_s, pause_reason: what is left of a pause that the system asked for; 0.0: none.
    breaker, failures, failing_s, probe_s, reason: whether the system is asked at all, how often it
    failed in a row, since when, and when the next probe may go.
    """

    in_use: int
    connections: int
    most: int
    waiting: Mapping[str, int]
    refused: Mapping[str, int]
    paused_s: float
    pause_reason: str
    breaker: BreakerState
    failures: int
    failing_s: float
    probe_s: float
    reason: str
