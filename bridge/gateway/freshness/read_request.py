"""What a read asks for: how fresh its answer has to be, and by when. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bridge.model.errors import Rejected
from bridge.model.freshness import NO_POSITION, FreshnessBound, bound_of
from bridge.model.position import parse_position
from bridge.model.receipt import Outcome, Receipt

DEFAULT_MAX_STALENESS_S: Final = 5.0
"""Where neither the read nor the entity sets one. Never unlimited by default: without a view and a
cache every read is live.
"""
BAD_FRESHNESS: Final = "bad_freshness"
"""Code of a Rejected for bounds that are invalid or contradict each other."""
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
    *,
    max_staleness: float | None = None,
    after: str | Receipt | None = None,
    fresh: bool = False,
    deadline: float | None = None,
    event: str = NO_POSITION,
    default_staleness: float = DEFAULT_MAX_STALENESS_S,
) -> ReadRequest:
    """The demands of a read that is asked now.

    max_staleness: seconds; None: the entity's default. `inf`: unlimited.
    after: a position, or the receipt of a command whose effect has to be in.
    fresh: ask the legacy system in any case.
    deadline: on the same clock as `asked_at`.
    event: the position of the event that is handled; the answer contains it.
    default_staleness: the entity's.
    Raises Rejected (`bad_freshness`) for what can't be met or contradicts itself, with what to do.
    """
    if fresh and max_staleness is not None:
        raise Rejected(
            BAD_FRESHNESS,
            f"fresh=True asks the legacy system itself, max_staleness={max_staleness} accepts an "
            "older answer: pass one of them",
        )
    staleness = default_staleness if max_staleness is None else max_staleness
    if not staleness >= 0:  # written so that NaN is refused
        raise Rejected(
            BAD_FRESHNESS,
            f"max_staleness is {staleness}: pass seconds, 0 for everything committed before the "
            "read, or fresh=True to ask the legacy system",
        )
    if deadline is not None and not deadline > asked_at:
        raise Rejected(
            BAD_FRESHNESS,
            "the deadline of this read has passed before it was asked: give it more time, or "
            "don't ask",
        )
    position, is_live = _after(after)
    bound = bound_of(asked_at, staleness, position, event)
    return ReadRequest(bound, asked_at, deadline, is_live or fresh)


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
        after = after.position
    try:
        parse_position(after)
    except ValueError as error:
        raise Rejected(
            BAD_FRESHNESS,
            f"after= takes the position of an event or of a row's provenance, or a receipt: {error}",
        ) from error
    return after, False
