"""What a read asks for beside its rows: how fresh, by when, and on whose behalf. Pure."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from bridge.model.errors import Rejected
from bridge.model.position import parse_position
from bridge.model.receipt import Receipt

BAD_FRESHNESS: Final = "bad_freshness"
"""Code of a Rejected for demands that are invalid or contradict each other."""


class ReadCause(NamedTuple):
    """On whose behalf something is read: one attempt of one handler at one event, and one object of
    it, so that the reads of an attempt are those with the identical cause.

    reader: the agent's name. What it has read of a row never goes back.
    handler: the handler's name.
    event_id: of the event that is handled.
    system: the event's. Its reads contain the event.
    position: of the event in that system's history.
    transaction: of the event; None: unknown, or a row of a snapshot.
    known_at: when this process had the event, or later; seconds of `time.monotonic`.
    """

    reader: str
    handler: str = ""
    event_id: str = ""
    system: str = ""
    position: str = ""
    transaction: str | None = None
    known_at: float = float("inf")


class ReadDemands(NamedTuple):
    """What a read asks for; nothing by default.

    max_staleness: seconds that the answer may be old, counted from the call; None: the entity's
    `max_staleness`; 0: everything that was committed before the call.
    after: the position of an event or of a row's provenance, or the receipt of a command: its effect
    is in the answer.
    fresh: the legacy system itself is asked, by a query that begins after the call.
    deadline: seconds from the call until an answer is of no use any more; None: none.
    cause: on whose behalf; None: nobody's, as on the command line.
    peers: whether rows may be read together with those that were answered together with theirs.
    """

    max_staleness: float | None = None
    after: str | Receipt | None = None
    fresh: bool = False
    deadline: float | None = None
    cause: ReadCause | None = None
    peers: bool = True


NO_DEMANDS: Final = ReadDemands()


def check_demands(demands: ReadDemands) -> None:
    """Raises Rejected (`bad_freshness`), with what to do, for what can't be met or contradicts itself."""
    staleness, after, fresh, deadline, *_ = demands
    if fresh and staleness is not None:
        raise Rejected(
            BAD_FRESHNESS,
            f"fresh=True asks the legacy system itself, max_staleness={staleness} accepts an "
            "older answer: pass one of them",
        )
    # Written so that NaN is refused.
    if staleness is not None and not (_is_number(staleness) and staleness >= 0):
        raise Rejected(
            BAD_FRESHNESS,
            f"max_staleness is {staleness!r}: pass seconds, 0 for everything committed before the "
            "read, or fresh=True to ask the legacy system",
        )
    if deadline is not None and not (_is_number(deadline) and deadline > 0):
        raise Rejected(
            BAD_FRESHNESS,
            f"the deadline of this read is {deadline!r}: pass the seconds that it may take, counted "
            "from the call, more than 0",
        )
    if after is not None:
        _check_after(after)


def _check_after(after: Any) -> None:
    position = after.position if isinstance(after, Receipt) else after
    if position is None or (position == "" and isinstance(after, Receipt)):
        return
    try:
        parse_position(position)
    except (ValueError, TypeError) as error:
        raise Rejected(
            BAD_FRESHNESS,
            f"after= takes the position of an event or of a row's provenance, or a receipt: {error}",
        ) from error


def _is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
