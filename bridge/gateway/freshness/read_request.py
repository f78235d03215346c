"""What a read asks for: how fresh its answer has to be, and by when. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.model.freshness import NO_POSITION, FreshnessBound, bound_of
from bridge.model.read_demands import NO_DEMANDS, ReadDemands, check_demands
from bridge.model.receipt import Outcome, Receipt
from bridge.model.specs import DEFAULT_MAX_STALENESS_S

WITHOUT_EFFECT: Final = (
    Outcome.FAILED,
    Outcome.REJECTED,
    Outcome.EXPIRED,
    Outcome.CANCELLED,
)


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """One read's demands, checked. Times in seconds on the clock of the process that reads.

    bound: what the answer has to contain.
    asked_at: when.
    deadline: when an answer is of no use any more; None: none.
    is_live: only the legacy system may answer, as `fresh=True` asks, and a receipt that doesn't say
    where its effect is.
    """

    bound: FreshnessBound
    asked_at: float
    deadline: float | None = None
    is_live: bool = False


def read_request(
    asked_at: float,
    demands: ReadDemands = NO_DEMANDS,
    *,
    system: str = "",
    default_staleness: float = DEFAULT_MAX_STALENESS_S,
) -> ReadRequest:
    """The demands of a read that is asked now, of a system.

    demands: of the event that is handled (`cause`) only one of this system is a bound: others have
    another history.
    default_staleness: the entity's.
    Raises Rejected (`bad_freshness`) for what can't be met or contradicts itself, with what to do.
    """
    check_demands(demands)
    staleness, after, fresh, deadline, cause, _ = demands
    position, is_live = _after(after)
    event = cause.position if cause is not None and cause.system == system else NO_POSITION
    bound = bound_of(
        asked_at, default_staleness if staleness is None else staleness, position, event
    )
    return ReadRequest(
        bound, asked_at, None if deadline is None else asked_at + deadline, is_live or fresh
    )


def _after(after: str | Receipt | None) -> tuple[str, bool]:
    """The position that has to be in, and whether only the legacy system can answer."""
    if after is None:
        return NO_POSITION, False
    if isinstance(after, Receipt):
        if after.outcome in WITHOUT_EFFECT:
            return NO_POSITION, False
        if not after.position:
            # Its target doesn't report positions, or it is unknown whether there is an effect.
            return NO_POSITION, True
        return after.position, False
    return after, False
