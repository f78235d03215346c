"""Who owns a system's reads, as the log says it, and until when. Pure; clocks are handed in.

Times of two machines are never compared. An owner's lease ends `lease_s` after it *began* its last
renewal that the log took; whoever wants to succeed it waits for as long after it *read* that renewal,
which was later, and a tenth longer because clocks run differently.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from math import inf
from typing import Final

from bridge.model.errors import RetryLater

CLOCK_DRIFT: Final = 1.1
"""By how much longer a successor waits."""


@dataclass(frozen=True, slots=True)
class LeaseRecord:
    """One owner of a system's reads, as its record has it.

    generation: larger than that of every owner before it. instance: the process. address: where it is
    asked. lease_s: for how long it owns the system after it wrote this, unless it writes again. at:
    microseconds since 1970 by its own clock, for people. released: it has ended in order.
    """

    generation: int
    instance: str
    address: str
    lease_s: float
    at: int
    released: bool = False


_TYPES: Final = {
    "generation": int,
    "instance": str,
    "address": str,
    "lease_s": float,
    "at": int,
    "released": bool,
}


def dump_lease(record: LeaseRecord) -> bytes:
    """The value of a record."""
    return json.dumps(asdict(record), separators=(",", ":")).encode()


def load_lease(value: bytes) -> LeaseRecord:
    """The lease in a record's value; fields of a later version are ignored. Raises ValueError."""
    try:
        document = json.loads(value)
        fields = {name: document[name] for name in _TYPES}
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise ValueError(f"not a lease of a gateway: {error}") from None
    wrong = [name for name, kind in _TYPES.items() if type(fields[name]) is not kind]
    if wrong or not 0 < fields["lease_s"] < inf:
        raise ValueError(f"not a lease of a gateway: wrong {', '.join(wrong) or 'duration'}")
    return LeaseRecord(**fields)


class LeaseWatch:
    """What a process that doesn't own the system knows of its owner."""

    def __init__(self) -> None:
        self.record: LeaseRecord | None = None
        self._read_at = -inf

    def saw(self, record: LeaseRecord, now: float) -> None:
        """A record was read; in the order of the log."""
        self.record = record
        self._read_at = now

    @property
    def is_held(self) -> bool:
        """Whether the last owner has not said that it ended."""
        return self.record is not None and not self.record.released

    @property
    def ends_at(self) -> float:
        """From when on nobody owns the system, by this process's clock, unless another record comes."""
        if self.record is None or not self.is_held:
            return -inf
        return self._read_at + self.record.lease_s * CLOCK_DRIFT

    @property
    def next_generation(self) -> int:
        """Of whoever owns it next."""
        return self.record.generation + 1 if self.record is not None else 1


class OwnLease:
    """What an owner knows of its own lease."""

    def __init__(self, system: str, lease_s: float) -> None:
        self.lease_s = lease_s
        self._system = system
        self._until = -inf
        self._lost = ""

    @property
    def until(self) -> float:
        """When it ends unless it is renewed."""
        return self._until

    def renewed(self, began: float) -> None:
        """The log has taken a renewal that was begun then."""
        self._until = max(self._until, began + self.lease_s)

    def lose(self, why: str) -> None:
        """Another process owns the system, for good."""
        self._lost = why

    def check(self, now: float) -> None:
        """Raises RetryLater once this process may no longer open sessions or send queries."""
        if self._lost:
            raise RetryLater(
                f"this process no longer owns the reads of system {self._system!r}: {self._lost}"
            )
        if now >= self._until:
            raise RetryLater(
                f"this process may no longer own the reads of system {self._system!r}: its lease ended "
                f"{now - self._until:.1f} s ago and the log has not taken a renewal"
            )
