"""Freshness: what an answer claims to contain, and whether that is enough for a reader. Pure.

Times are seconds on the clock of the process that reads, one that never goes back
(`time.monotonic`): a claim is proved by something that this process did at that time, so no other
machine's clock has a part in it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final

NEVER: Final = float("-inf")
"""The `as_of` of a claim of which nothing is proved; older than any bound but an unlimited one."""
NO_POSITION: Final = ""
"""Before every position: of a claim that contains none, and of a bound that asks for none."""


@dataclass(frozen=True, slots=True)
class Freshness:
    """What an answer contains. Immutable: a newer claim replaces it as a whole, so that a row in
    somebody's hand keeps the claim with which it was handed out.

    system: its name.
    epoch: of the system's history.
    position: every change up to it is in; `NO_POSITION`: none is proved.
    as_of: everything committed at the source before it is in; `NEVER`: nothing is proved.
    """

    system: str
    epoch: int
    position: str = NO_POSITION
    as_of: float = NEVER

    def age(self, now: float) -> float:
        """Seconds since `as_of`; infinite if nothing is proved."""
        return now - self.as_of


@dataclass(frozen=True, slots=True)
class FreshnessBound:
    """What an answer has to contain at least.

    not_before: the earliest `as_of` that is enough; `NEVER`: any.
    position: has to be in; `NO_POSITION`: none.
    """

    not_before: float = NEVER
    position: str = NO_POSITION

    def is_met_by(self, claim: Freshness) -> bool:
        """Whether an answer with this claim is young enough."""
        return claim.as_of >= self.not_before and claim.position >= self.position


def bound_of(
    asked_at: float, max_staleness: float | None = None, *positions: str
) -> FreshnessBound:
    """The bound of a read.

    asked_at: when it was asked. Not when it is answered: a read that waits for a proof doesn't ask
    for a newer one meanwhile, so that even a `max_staleness` of 0 can be met.
    max_staleness: seconds that the answer may be older than that; None: unlimited.
    positions: that it has to contain, such as that of the event that is handled.
    """
    not_before = NEVER if max_staleness is None else asked_at - max_staleness
    return FreshnessBound(not_before, max(positions, default=NO_POSITION))


def oldest(claims: Iterable[Freshness]) -> Freshness:
    """The claim that all of these make: of an answer that needs each of them.

    Claims of different epochs prove nothing together. Raises ValueError without claims, and for
    claims about different systems.
    """
    claims = list(claims)
    if len({claim.system for claim in claims}) != 1:
        raise ValueError("a common claim needs claims about one system")
    first, epochs = claims[0], {claim.epoch for claim in claims}
    if len(epochs) > 1:
        return Freshness(first.system, min(epochs))
    position = min(claim.position for claim in claims)
    return replace(first, position=position, as_of=min(claim.as_of for claim in claims))


def advanced(claim: Freshness, proof: Freshness) -> Freshness:
    """The claim after another proof about the same data. It never goes back within an epoch; a
    later epoch replaces it, an earlier one is ignored. Raises ValueError for different systems.
    """
    if claim.system != proof.system:
        raise ValueError(f"a claim about {claim.system} is not proved by {proof.system}")
    if claim.epoch != proof.epoch:
        return max(claim, proof, key=lambda each: each.epoch)
    position = max(claim.position, proof.position)
    return replace(claim, position=position, as_of=max(claim.as_of, proof.as_of))
