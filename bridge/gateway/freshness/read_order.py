"""Who answers a read: the copy, the copy after a barrier, or the legacy system. Pure.

Asked again whenever something changed: when a barrier was passed, or the time for it is over.
"""

from __future__ import annotations

from typing import Final, Literal, NamedTuple

from bridge.gateway.freshness.read_request import ReadRequest
from bridge.model.freshness import NEVER, Freshness

BARRIER_SHARE: Final = 0.5
"""Of the time until the deadline; the rest is for the legacy system."""
MAX_BARRIER_WAIT_S: Final = 0.25
"""The longest wait for a barrier: one comes back within a few milliseconds, or capture is down."""


MISS_CODES: Final = ("asked_for", "not_held", "doubt", "too_old", "no_barrier")
"""Why a copy doesn't answer; of `ReadDecision.code`."""


class ReadDecision(NamedTuple):
    """answer: `copy`: it may be returned now; `barrier`: wait for one, then decide again; `legacy`:
    ask the legacy system.
    until: of `barrier`, the time at which to decide again at the latest.
    reason: of `legacy`, for people: why the copy didn't answer. code: the same for programs.
    """

    answer: Literal["copy", "barrier", "legacy"]
    until: float = NEVER
    reason: str = ""
    code: str = ""


COPY: Final = ReadDecision("copy")


def decide(
    request: ReadRequest,
    claim: Freshness | None,
    now: float,
    *,
    is_held: bool,
    has_barriers: bool,
    meets_floor: bool = True,
) -> ReadDecision:
    """Decide who answers.

    claim: of the copy of this row (or list); None: it is in doubt.
    is_held: whether the copy has an answer, be it that there is no such row.
    has_barriers: whether the source can write them.
    meets_floor: whether the copy's answer is no older than what this reader has read before (see
    `ReadFloors`).
    """
    if request.is_live:
        return ReadDecision("legacy", reason="it was asked for", code="asked_for")
    if not is_held:
        return ReadDecision("legacy", reason="the copy doesn't have it", code="not_held")
    if claim is None:
        return ReadDecision("legacy", reason="the copy is in doubt", code="doubt")
    if meets_floor and request.bound.is_met_by(claim):
        return COPY
    if not has_barriers:
        return ReadDecision(
            "legacy", reason="the copy is too old, and its source has no barriers", code="too_old"
        )
    until = barrier_deadline(request)
    if now >= until:
        return ReadDecision("legacy", reason="no barrier came back in time", code="no_barrier")
    return ReadDecision("barrier", until)


def barrier_deadline(request: ReadRequest) -> float:
    """Until when a read waits for a barrier."""
    if request.deadline is None:
        return request.asked_at + MAX_BARRIER_WAIT_S
    share = BARRIER_SHARE * (request.deadline - request.asked_at)
    return request.asked_at + min(share, MAX_BARRIER_WAIT_S)
